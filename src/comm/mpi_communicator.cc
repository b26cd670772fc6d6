// SPDX-License-Identifier: Apache-2.0
#include "comm/mpi_communicator.h"

#include <utility>

#include "base/check.h"
#include "comm/host.h"
#include "comm/reduce.h"
#include "comm/staging.h"

namespace tl {
namespace {

void CheckTensor(const Tensor& x, const char* what) {
  TL_CHECK(x.contiguous()) << what << ": a strided view " << ToString(x.shape);
  TL_CHECK(x.device.type == DeviceType::kCpu) << what << ": a tensor on " << ToString(x.device);
}

bool OnDevice(const Stream& stream) { return stream.device().type != DeviceType::kCpu; }

}  // namespace

MpiCommunicator::MpiCommunicator(MPI_Comm comm, std::shared_ptr<Workspaces> workspaces,
                                 const char* name)
    : comm_(comm), workspaces_(std::move(workspaces)), name_(name) {
  MPI_Comm_set_errhandler(comm_, MPI_ERRORS_RETURN);
  MPI_Comm_rank(comm_, &rank_);
  MPI_Comm_size(comm_, &size_);
}

MpiCommunicator::~MpiCommunicator() {
  int finalized = 0;
  MPI_Finalized(&finalized);
  if (!finalized) MPI_Comm_free(&comm_);
}

std::unique_ptr<Communicator> MpiCommunicator::Split(int color, int key, const char* name) {
  MPI_Comm group;
  CheckMpi(MPI_Comm_split(comm_, color, key, &group), "MPI_Comm_split", "split");
  int size = 0;
  MPI_Comm_size(group, &size);
  if (size > 1) return std::make_unique<MpiCommunicator>(group, workspaces_, name);
  MPI_Comm_free(&group);
  return MakeSelfCommunicator();
}

Route MpiCommunicator::NextRoute(const char* name) {
  return {comm_, rank_, size_, calls_++, name, name_};
}

void MpiCommunicator::AllReduce(Stream& stream, Tensor x, ReduceOp op) {
  if (OnDevice(stream)) {
    Staged staged(stream, workspaces_->staging(), {x});
    const Tensor host = staged.InOut(x);
    AllReduce(staged.Begin(), host, op);
    return staged.End();
  }
  CheckTensor(x, "all_reduce");
  TL_CHECK(CanReduce(op, x.dtype)) << "all_reduce of " << Name(x.dtype);
  const Route route = NextRoute("all_reduce");
  const int64_t bytes = x.bytes();
  if (bytes <= kDirectBytes) {
    Count(CollectiveKind::kAllReduce, (size_ - 1) * bytes);
    if (bytes > 0 && size_ > 1)
      stream.Enqueue(std::make_unique<GatherReduceTask>(route, workspaces_, x, op));
    return;
  }
  const int64_t begin = PartOffset(x, rank_, size_);
  const int64_t own = PartOffset(x, rank_ + 1, size_) - begin;
  Count(CollectiveKind::kAllReduce, bytes - own + (size_ - 1) * own);
  std::vector<std::unique_ptr<Task>> tasks;
  tasks.push_back(std::make_unique<ReduceScatterTask>(route, workspaces_, x.data + begin, x, op));
  tasks.push_back(std::make_unique<MessageTask>(route, std::vector{GatherParts(route, x)}));
  stream.Enqueue(std::make_unique<SequenceTask>(std::move(tasks)));
}

void MpiCommunicator::ReduceScatter(Stream& stream, Tensor out, Tensor in) {
  if (OnDevice(stream)) {
    Staged staged(stream, workspaces_->staging(), {out, in});
    const Tensor host_in = staged.In(in), host_out = staged.Out(out);
    ReduceScatter(staged.Begin(), host_out, host_in);
    return staged.End();
  }
  CheckTensor(in, "reduce_scatter");
  CheckTensor(out, "reduce_scatter");
  TL_CHECK(in.dtype == out.dtype) << Name(in.dtype) << " into " << Name(out.dtype);
  TL_CHECK(CanReduce(ReduceOp::kSum, in.dtype)) << "reduce_scatter of " << Name(in.dtype);
  TL_CHECK(in.elements() == size_ * out.elements())
      << "reduce_scatter of " << ToString(in.shape) << " into " << ToString(out.shape) << " over "
      << size_ << " ranks";
  Count(CollectiveKind::kReduceScatter, in.bytes() - out.bytes());
  stream.Enqueue(std::make_unique<ReduceScatterTask>(NextRoute("reduce_scatter"), workspaces_,
                                                     out.data, in, ReduceOp::kSum));
}

void MpiCommunicator::AllGather(Stream& stream, Tensor out, Tensor in) {
  if (OnDevice(stream)) {
    Staged staged(stream, workspaces_->staging(), {out, in});
    const Tensor host_in = staged.In(in), host_out = staged.Out(out);
    AllGather(staged.Begin(), host_out, host_in);
    return staged.End();
  }
  CheckTensor(in, "all_gather");
  CheckTensor(out, "all_gather");
  TL_CHECK(in.dtype == out.dtype) << Name(in.dtype) << " into " << Name(out.dtype);
  TL_CHECK(out.elements() == size_ * in.elements())
      << "all_gather of " << ToString(in.shape) << " into " << ToString(out.shape) << " over "
      << size_ << " ranks";
  Count(CollectiveKind::kAllGather, (size_ - 1) * in.bytes());
  const Route route = NextRoute("all_gather");
  Phase phase = GatherParts(route, out);
  // From in itself, so that the copy into out runs while the messages travel.
  for (Message& send : phase.sends) send.data = in.data;
  phase.copies.push_back({out.data + rank_ * in.bytes(), in.data, in.bytes()});
  stream.Enqueue(std::make_unique<MessageTask>(route, std::vector{std::move(phase)}));
}

void MpiCommunicator::Broadcast(Stream& stream, Tensor x, int root) {
  if (OnDevice(stream)) {
    Staged staged(stream, workspaces_->staging(), {x});
    const Tensor host = rank_ == root ? staged.In(x) : staged.Out(x);
    Broadcast(staged.Begin(), host, root);
    return staged.End();
  }
  CheckTensor(x, "broadcast");
  TL_CHECK(0 <= root && root < size_) << "broadcast from rank " << root << " of " << size_;
  const Route route = NextRoute("broadcast");
  const int64_t bytes = x.bytes();
  const bool whole = bytes <= kDirectBytes;
  const auto part = [&](int r) {
    const int64_t begin = whole ? 0 : PartOffset(x, r, size_);
    return Message{r, x.data + begin, whole ? bytes : PartOffset(x, r + 1, size_) - begin};
  };
  Phase scatter;
  if (rank_ == root) {
    for (int i = 1; i < size_; ++i) scatter.sends.push_back(part((rank_ + i) % size_));
  } else {
    scatter.receives.push_back(part(rank_));
    scatter.receives.back().peer = root;
  }
  std::vector<Phase> phases = {std::move(scatter)};
  if (!whole) phases.push_back(GatherParts(route, x, root));
  int64_t sent = 0;
  for (const Phase& phase : phases) {
    for (const Message& message : phase.sends) sent += message.bytes;
  }
  Count(CollectiveKind::kBroadcast, sent);
  stream.Enqueue(std::make_unique<MessageTask>(route, std::move(phases)));
}

void MpiCommunicator::Exchange(Stream& stream, absl::Span<const Transfer> transfers) {
  if (OnDevice(stream)) {
    std::vector<Tensor> tensors;
    for (const Transfer& t : transfers) {
      if (t.send) tensors.push_back(t.send);
      if (t.recv) tensors.push_back(t.recv);
    }
    Staged staged(stream, workspaces_->staging(), tensors);
    std::vector<Transfer> host(transfers.begin(), transfers.end());
    for (Transfer& t : host) {
      if (t.send) t.send = staged.In(t.send);
      if (t.recv) t.recv = staged.Out(t.recv);
    }
    Exchange(staged.Begin(), host);
    return staged.End();
  }
  Phase phase;
  std::vector<Tensor> to_self, from_self;
  int64_t sent = 0;
  for (const Transfer& t : transfers) {
    TL_CHECK(0 <= t.peer && t.peer < size_) << "exchange with rank " << t.peer << " of " << size_;
    if (t.send) {
      CheckTensor(t.send, "exchange");
      if (t.peer == rank_) {
        to_self.push_back(t.send);
      } else {
        phase.sends.push_back({t.peer, t.send.data, t.send.bytes()});
        sent += t.send.bytes();
      }
    }
    if (t.recv) {
      CheckTensor(t.recv, "exchange");
      if (t.peer == rank_)
        from_self.push_back(t.recv);
      else
        phase.receives.push_back({t.peer, t.recv.data, t.recv.bytes()});
    }
  }
  TL_CHECK(to_self.size() == from_self.size())
      << "exchange: " << to_self.size() << " messages to this rank itself, " << from_self.size()
      << " from it";
  for (size_t i = 0; i < to_self.size(); ++i) {
    TL_CHECK(to_self[i].bytes() == from_self[i].bytes()) << "exchange with this rank itself";
    phase.copies.push_back({from_self[i].data, to_self[i].data, to_self[i].bytes()});
  }
  Count(CollectiveKind::kExchange, sent);
  stream.Enqueue(
      std::make_unique<MessageTask>(NextRoute("exchange"), std::vector{std::move(phase)}));
}

void MpiCommunicator::Barrier(Stream& stream) {
  if (OnDevice(stream)) {
    stream.Synchronize();
    Stream host = Stream::Cpu();
    return Barrier(host);
  }
  // Dissemination: after round k a rank has heard from the 2^(k+1) - 1 ranks before it.
  std::vector<Phase> phases;
  for (int step = 1; step < size_; step *= 2) {
    Phase phase;
    phase.sends.push_back({(rank_ + step) % size_, &barrier_[0], 1});
    phase.receives.push_back({(rank_ - step + size_) % size_, &barrier_[1], 1});
    phases.push_back(std::move(phase));
  }
  stream.Enqueue(std::make_unique<MessageTask>(NextRoute("barrier"), std::move(phases)));
}

void MpiCommunicator::Abort(int exit_code) { AbortJob(exit_code); }

}  // namespace tl
