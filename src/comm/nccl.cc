// SPDX-License-Identifier: Apache-2.0
#include "comm/nccl.h"

#include <sched.h>

#include <cstdlib>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status.h"
#include "comm/host.h"
#include "comm/nccl_api.h"
#include "comm/nccl_watchdog.h"
#include "comm/reduce.h"
#include "comm/staging.h"
#include "device/cuda_device.h"

namespace tl {
namespace {

using nccl::Result;

nccl::DataType TypeOf(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return nccl::kFloat32;
    case DType::kBF16:
      return nccl::kBfloat16;
    case DType::kF16:
      return nccl::kFloat16;
    case DType::kF64:
      return nccl::kFloat64;
    case DType::kI32:
      return nccl::kInt32;
    case DType::kI64:
      return nccl::kInt64;
    case DType::kU8:
      return nccl::kUint8;
  }
  return nccl::kUint8;
}

// What the communicators of one world share.
struct Shared {
  explicit Shared(const NcclOptions& options)
      : device(options.device), watchdog(options.device, options.watchdog_seconds) {}
  const Device device;
  NcclWatchdog watchdog;
};

class NcclCommunicator : public Communicator {
 public:
  // host: of the same ranks; owned: it too, where nobody else owns it. Call Join next.
  NcclCommunicator(std::string name, std::unique_ptr<Communicator> owned, Communicator& host,
                   std::shared_ptr<Shared> shared)
      : name_(std::move(name)), owned_(std::move(owned)), host_(host), shared_(std::move(shared)) {}

  ~NcclCommunicator() override {
    if (comm_ == nullptr) return;
    cuda::MakeCurrent(shared_->device.index);
    Call("finalize", [&] { return library_.CommFinalize(comm_); });
    shared_->watchdog.Forget(watched_);
    library_.CommDestroy(comm_);
  }

  // Collective over the host group. An error names what NCCL says.
  absl::Status Join() {
    nccl::UniqueId id{};
    Result result = nccl::kSuccess;
    if (rank() == 0) result = library_.GetUniqueId(&id);
    TL_RETURN_IF_ERROR(AgreeOnStatus(host_, JoinStatus(result)));
    Stream cpu = Stream::Cpu();
    host_.Broadcast(cpu, Tensor::Of(reinterpret_cast<uint8_t*>(&id), {sizeof(id)}), 0);
    nccl::Config config;
    cuda::MakeCurrent(shared_->device.index);
    result = library_.CommInitRankConfig(&comm_, size(), id, rank(), &config);
    if (comm_ != nullptr) {
      watched_ = shared_->watchdog.Watch(
          comm_, absl::StrCat(name_, " group, rank ", rank(), " of ", size()));
      result = Settle(result);
    }
    const absl::Status status = JoinStatus(result);
    if (comm_ == nullptr) return status;
    // A communicator that cannot start is this thread's to the end.
    if (status.ok()) {
      shared_->watchdog.End(*watched_);
    } else {
      shared_->watchdog.Forget(watched_);
      library_.CommAbort(std::exchange(comm_, nullptr));
    }
    return status;
  }

  int rank() const override { return host_.rank(); }
  int size() const override { return host_.size(); }
  Communicator& host() override { return host_.host(); }

  std::unique_ptr<Communicator> Split(int color, int key, const char* name) override {
    std::unique_ptr<Communicator> group = host_.Split(color, key, name);
    // One rank alone needs no messages; but a world of one rank goes through NCCL for its proof.
    if (group->size() == 1 && size() > 1) return group;
    Communicator& of = *group;
    auto out = std::make_unique<NcclCommunicator>(name, std::move(group), of, shared_);
    TL_CHECK_OK(out->Join());
    return out;
  }

  void AllReduce(Stream& stream, Tensor x, ReduceOp op) override {
    TL_CHECK(CanReduce(op, x.dtype)) << "all_reduce of " << Name(x.dtype);
    if (OnHost(x))
      return OnTheHost(CollectiveKind::kAllReduce, stream,
                       [&](Stream& s) { host_.AllReduce(s, x, op); });
    Check(x);
    // As around a ring.
    Count(CollectiveKind::kAllReduce, 2 * x.bytes() * (size() - 1) / size());
    Enqueue(CollectiveKind::kAllReduce, stream, x.bytes(), [&](cudaStream_t queue) {
      return library_.AllReduce(x.data, x.data, x.elements(), TypeOf(x.dtype),
                                op == ReduceOp::kSum ? nccl::kSum : nccl::kMax, comm_, queue);
    });
  }

  void ReduceScatter(Stream& stream, Tensor out, Tensor in) override {
    if (OnHost(in))
      return OnTheHost(CollectiveKind::kReduceScatter, stream,
                       [&](Stream& s) { host_.ReduceScatter(s, out, in); });
    Check(in);
    Check(out);
    TL_CHECK(in.dtype == out.dtype) << Name(in.dtype) << " into " << Name(out.dtype);
    TL_CHECK(CanReduce(ReduceOp::kSum, in.dtype)) << "reduce_scatter of " << Name(in.dtype);
    TL_CHECK_EQ(in.elements(), size() * out.elements());
    Count(CollectiveKind::kReduceScatter, in.bytes() - out.bytes());
    Enqueue(CollectiveKind::kReduceScatter, stream, in.bytes(), [&](cudaStream_t queue) {
      return library_.ReduceScatter(in.data, out.data, out.elements(), TypeOf(in.dtype), nccl::kSum,
                                    comm_, queue);
    });
  }

  void AllGather(Stream& stream, Tensor out, Tensor in) override {
    if (OnHost(in))
      return OnTheHost(CollectiveKind::kAllGather, stream,
                       [&](Stream& s) { host_.AllGather(s, out, in); });
    Check(in);
    Check(out);
    TL_CHECK(in.dtype == out.dtype) << Name(in.dtype) << " into " << Name(out.dtype);
    TL_CHECK_EQ(out.elements(), size() * in.elements());
    Count(CollectiveKind::kAllGather, (size() - 1) * in.bytes());
    Enqueue(CollectiveKind::kAllGather, stream, in.bytes(), [&](cudaStream_t queue) {
      return library_.AllGather(in.data, out.data, in.elements(), TypeOf(in.dtype), comm_, queue);
    });
  }

  void Broadcast(Stream& stream, Tensor x, int root) override {
    if (OnHost(x))
      return OnTheHost(CollectiveKind::kBroadcast, stream,
                       [&](Stream& s) { host_.Broadcast(s, x, root); });
    Check(x);
    TL_CHECK(0 <= root && root < size()) << "broadcast from rank " << root << " of " << size();
    // Down a chain, of which the rank before the root is the end.
    Count(CollectiveKind::kBroadcast, (rank() + 1) % size() == root ? 0 : x.bytes());
    Enqueue(CollectiveKind::kBroadcast, stream, x.bytes(), [&](cudaStream_t queue) {
      return library_.Broadcast(x.data, x.data, x.elements(), TypeOf(x.dtype), root, comm_, queue);
    });
  }

  void Exchange(Stream& stream, absl::Span<const Transfer> transfers) override {
    int64_t bytes = 0, sent = 0;
    bool on_host = true;
    for (const Transfer& t : transfers) {
      TL_CHECK(0 <= t.peer && t.peer < size()) << "exchange with rank " << t.peer;
      for (const Tensor& x : {t.send, t.recv}) {
        if (!x) continue;
        on_host = on_host && OnHost(x);
        bytes += x.bytes();
      }
      if (t.send && t.peer != rank()) sent += t.send.bytes();
    }
    if (on_host)
      return OnTheHost(CollectiveKind::kExchange, stream,
                       [&](Stream& s) { host_.Exchange(s, transfers); });
    Count(CollectiveKind::kExchange, sent);
    if (bytes == 0) return;
    Enqueue(CollectiveKind::kExchange, stream, bytes, [&](cudaStream_t queue) {
      TL_CHECK(library_.GroupStart() == nccl::kSuccess);
      for (const Transfer& t : transfers) {
        if (t.send && t.send.elements() > 0) Accept(Send(t, queue));
        if (t.recv && t.recv.elements() > 0) Accept(Receive(t, queue));
      }
      return library_.GroupEnd();
    });
  }

  void Barrier(Stream& stream) override {
    stream.Synchronize();
    Stream cpu = Stream::Cpu();
    host_.Barrier(cpu);
  }

  [[noreturn]] void Abort(int exit_code) override { AbortJob(exit_code); }
  int64_t workspace_bytes() const override { return host_.workspace_bytes(); }

 private:
  absl::Status JoinStatus(Result result) const {
    if (result == nccl::kSuccess) return absl::OkStatus();
    return absl::UnavailableError(absl::StrCat("NCCL ", nccl::VersionText(library_.version),
                                               " cannot connect ", size(),
                                               " rank(s): ", ErrorText(result)));
  }

  Result Send(const Transfer& t, cudaStream_t queue) {
    Check(t.send);
    return library_.Send(t.send.data, t.send.elements(), TypeOf(t.send.dtype), t.peer, comm_,
                         queue);
  }
  Result Receive(const Transfer& t, cudaStream_t queue) {
    Check(t.recv);
    return library_.Recv(t.recv.data, t.recv.elements(), TypeOf(t.recv.dtype), t.peer, comm_,
                         queue);
  }

  void Check(const Tensor& x) const {
    TL_CHECK(x.contiguous()) << "a strided view " << ToString(x.shape);
    TL_CHECK(x.device == shared_->device)
        << "a tensor on " << ToString(x.device) << " of a rank on " << ToString(shared_->device);
  }

  // NCCL calls of communicators that do not block return before they are done.
  Result Settle(Result result) const {
    while (result == nccl::kInProgress) {
      NcclWatchdog::KeepOut(*watched_);
      const Result asked = library_.CommGetAsyncError(comm_, &result);
      if (asked != nccl::kSuccess) return asked;
      if (result == nccl::kInProgress) sched_yield();
    }
    return result;
  }
  void Accept(Result result) const {
    TL_CHECK(result == nccl::kSuccess || result == nccl::kInProgress) << ErrorText(result);
  }
  std::string ErrorText(Result result) const { return nccl::ErrorText(result, comm_); }

  template <typename F>
  void Call(const std::string& what, F&& call) {
    shared_->watchdog.Begin(*watched_, what);
    const Result result = Settle(call());
    TL_CHECK(result == nccl::kSuccess)
        << "NCCL, " << name_ << " group: " << what << ": " << ErrorText(result);
    shared_->watchdog.End(*watched_);
  }

  template <typename F>
  void Enqueue(CollectiveKind kind, Stream& stream, int64_t bytes, F&& call) {
    if (bytes == 0) return;
    TL_CHECK(stream.device() == shared_->device)
        << Name(kind) << " of a tensor on " << ToString(shared_->device) << " on a stream of "
        << ToString(stream.device());
    const cudaStream_t queue = cuda::Handle(stream);
    Call(absl::StrCat(Name(kind), " of ", bytes, " bytes"), [&] { return call(queue); });
    shared_->watchdog.Enqueued(*watched_, Event::Record(stream));
  }

  // At once: nothing that is on a device's stream can change it or read it without being waited
  // for.
  template <typename F>
  void OnTheHost(CollectiveKind kind, Stream& stream, F&& run) {
    const auto sent = [&] { return host_.stats()[static_cast<int>(kind)].bytes_sent; };
    const int64_t before = sent();
    if (stream.device().type == DeviceType::kCpu) {
      run(stream);
    } else {
      Stream cpu = Stream::Cpu();
      run(cpu);
    }
    Count(kind, sent() - before);
  }

  const nccl::Library& library_ = nccl::GetLibrary();
  const std::string name_;
  std::unique_ptr<Communicator> owned_;
  Communicator& host_;
  std::shared_ptr<Shared> shared_;
  nccl::Comm comm_ = nullptr;
  std::shared_ptr<NcclWatchdog::Watched> watched_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Communicator>> MakeNcclWorld(Communicator& world,
                                                            const NcclOptions& options) {
  if (options.deterministic) {
    setenv("NCCL_ALGO", "Ring", 0);
    setenv("NCCL_PROTO", "Simple", 0);
  }
  const std::string& absent = nccl::GetLibrary().absent;
  TL_RETURN_IF_ERROR(
      AgreeOnStatus(world, absent.empty() ? absl::OkStatus() : absl::UnavailableError(absent)));
  auto out = std::make_unique<NcclCommunicator>("world", nullptr, world,
                                                std::make_shared<Shared>(options));
  TL_RETURN_IF_ERROR(AgreeOnStatus(world, out->Join()));
  return out;
}

}  // namespace tl
