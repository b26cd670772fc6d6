// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <vector>

#include "base/check.h"
#include "comm/communicator.h"
#include "comm/host.h"
#include "comm/reduce.h"

namespace tl {
namespace {

class SelfCommunicator : public Communicator {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }

  std::unique_ptr<Communicator> Split(int, int, const char*) override {
    return MakeSelfCommunicator();
  }

  void AllReduce(Stream&, Tensor x, ReduceOp op) override {
    TL_CHECK(CanReduce(op, x.dtype)) << "all_reduce of " << Name(x.dtype);
    Count(CollectiveKind::kAllReduce, 0);
  }
  void ReduceScatter(Stream& stream, Tensor out, Tensor in) override {
    Count(CollectiveKind::kReduceScatter, 0);
    Copy(stream, out, in);
  }
  void AllGather(Stream& stream, Tensor out, Tensor in) override {
    Count(CollectiveKind::kAllGather, 0);
    Copy(stream, out, in);
  }
  void Broadcast(Stream&, Tensor, int root) override {
    TL_CHECK_EQ(root, 0);
    Count(CollectiveKind::kBroadcast, 0);
  }
  void Exchange(Stream& stream, absl::Span<const Transfer> transfers) override {
    Count(CollectiveKind::kExchange, 0);
    std::vector<Tensor> sends, receives;
    for (const Transfer& t : transfers) {
      TL_CHECK_EQ(t.peer, 0);
      if (t.send) sends.push_back(t.send);
      if (t.recv) receives.push_back(t.recv);
    }
    TL_CHECK_EQ(sends.size(), receives.size());
    for (size_t i = 0; i < sends.size(); ++i) Copy(stream, receives[i], sends[i]);
  }
  void Barrier(Stream&) override {}
  [[noreturn]] void Abort(int exit_code) override { AbortJob(exit_code); }

 private:
  static void Copy(Stream& stream, const Tensor& out, const Tensor& in) {
    TL_CHECK(out.contiguous() && in.contiguous()) << "a strided view";
    TL_CHECK(out.dtype == in.dtype) << Name(in.dtype) << " into " << Name(out.dtype);
    TL_CHECK_EQ(out.elements(), in.elements());
    if (out.data != in.data) CopyBytes(stream, out.data, in.data, in.bytes());
  }
};

}  // namespace

std::unique_ptr<Communicator> MakeSelfCommunicator() {
  return std::make_unique<SelfCommunicator>();
}

const char* Name(CollectiveKind kind) {
  switch (kind) {
    case CollectiveKind::kAllReduce:
      return "all_reduce";
    case CollectiveKind::kReduceScatter:
      return "reduce_scatter";
    case CollectiveKind::kAllGather:
      return "all_gather";
    case CollectiveKind::kBroadcast:
      return "broadcast";
    case CollectiveKind::kExchange:
      return "exchange";
  }
  return "?";
}

}  // namespace tl
