// SPDX-License-Identifier: Apache-2.0
#include "comm/mpi_tasks.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/watchdog.h"
#include "comm/host.h"
#include "comm/reduce.h"

namespace tl {
namespace {

constexpr int64_t kMaxMessage = 16 << 20;
// Measured on 2 ranks of one host, 20 MB each way: 32 KiB 9.5, 128 KiB 14.4, 512 KiB 11.9, whole
// 11.8 GB/s.
constexpr int64_t kSegmentBytes = 128 << 10;

void CheckFinished(const Route& route, bool finished) {
  TL_CHECK(finished) << route.Describe() << ": its stream is destroyed while it is in flight";
}

}  // namespace

void CheckMpi(int code, const char* call, const std::string& where) {
  if (code == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING] = "";
  int length = 0;
  MPI_Error_string(code, text, &length);
  TL_CHECK(code == MPI_SUCCESS) << where << ": " << call << ": " << text;
}

std::string Route::Describe() const {
  return std::string(name) + ", call " + std::to_string(call) + " of rank " + std::to_string(rank) +
         " in the group " + group + " of " + std::to_string(size);
}

std::string Route::DescribeWait(const std::set<int>& peers) const {
  constexpr size_t kNamed = 8;
  MPI_Group mine, all;
  MPI_Comm_group(comm, &mine);
  MPI_Comm_group(MPI_COMM_WORLD, &all);
  std::string text = Describe() + ", waits for ";
  size_t named = 0;
  for (const int peer : peers) {
    if (named == kNamed) {
      text += " and " + std::to_string(peers.size() - named) + " more";
      break;
    }
    int rank = MPI_UNDEFINED;
    MPI_Group_translate_ranks(mine, 1, &peer, all, &rank);
    text += (named++ > 0 ? ", " : "") + NameOfRank(rank);
  }
  MPI_Group_free(&mine);
  MPI_Group_free(&all);
  return text;
}

void Requests::Send(const Route& route, int peer, const std::byte* data, int64_t bytes) {
  for (int64_t at = 0; at < bytes; at += kMaxMessage) {
    const int count = static_cast<int>(std::min(kMaxMessage, bytes - at));
    MPI_Request request;
    CheckMpi(MPI_Isend(data + at, count, MPI_BYTE, peer, route.tag(), route.comm, &request),
             "MPI_Isend", route.Describe());
    requests_.push_back(request);
    peers_.push_back(peer);
    expected_.push_back(-1);
  }
}

void Requests::Receive(const Route& route, int peer, std::byte* data, int64_t bytes) {
  for (int64_t at = 0; at < bytes; at += kMaxMessage) {
    const int count = static_cast<int>(std::min(kMaxMessage, bytes - at));
    MPI_Request request;
    CheckMpi(MPI_Irecv(data + at, count, MPI_BYTE, peer, route.tag(), route.comm, &request),
             "MPI_Irecv", route.Describe());
    requests_.push_back(request);
    peers_.push_back(peer);
    expected_.push_back(count);
  }
}

bool Requests::Test(const Route& route) {
  if (requests_.empty()) return true;
  const int n = static_cast<int>(requests_.size());
  statuses_.resize(n);
  int done = 0;
  int code = MPI_Testall(n, requests_.data(), &done, statuses_.data());
  if (code == MPI_ERR_IN_STATUS) {
    for (const MPI_Status& status : statuses_) {
      if (status.MPI_ERROR != MPI_SUCCESS && status.MPI_ERROR != MPI_ERR_PENDING)
        code = status.MPI_ERROR;
    }
  }
  if (code != MPI_SUCCESS) CheckMpi(code, "MPI_Testall", route.Describe());
  if (!done) return false;
  for (int i = 0; i < n; ++i) {
    if (expected_[i] < 0) continue;
    int count = 0;
    MPI_Get_count(&statuses_[i], MPI_BYTE, &count);
    TL_CHECK(count == expected_[i])
        << route.Describe() << ": rank " << statuses_[i].MPI_SOURCE << " sent " << count
        << " bytes, expected " << expected_[i] << "; the ranks made different calls";
  }
  requests_.clear();
  peers_.clear();
  expected_.clear();
  Beat();
  return true;
}

void Requests::AddPending(std::set<int>* peers) const {
  for (size_t i = 0; i < requests_.size(); ++i) {
    int done = 0;
    MPI_Request_get_status(requests_[i], &done, MPI_STATUS_IGNORE);
    if (!done) peers->insert(peers_[i]);
  }
}

MessageTask::MessageTask(Route route, std::vector<Phase> phases)
    : route_(route), phases_(std::move(phases)) {}

MessageTask::~MessageTask() { CheckFinished(route_, requests_.empty()); }

bool MessageTask::Poll() {
  while (requests_.Test(route_)) {
    if (next_ == phases_.size()) return true;
    const Phase& phase = phases_[next_++];
    for (const Message& m : phase.receives) requests_.Receive(route_, m.peer, m.data, m.bytes);
    for (const Message& m : phase.sends) requests_.Send(route_, m.peer, m.data, m.bytes);
    for (const LocalCopy& copy : phase.copies) {
      if (copy.dst != copy.src && copy.bytes > 0) std::memcpy(copy.dst, copy.src, copy.bytes);
    }
  }
  return false;
}

std::string MessageTask::Describe() const {
  std::set<int> peers;
  requests_.AddPending(&peers);
  return route_.DescribeWait(peers);
}

GatherReduceTask::GatherReduceTask(Route route, std::shared_ptr<Workspaces> workspaces, Tensor x,
                                   ReduceOp op)
    : route_(route), workspaces_(std::move(workspaces)), x_(x), op_(op) {}

GatherReduceTask::~GatherReduceTask() { CheckFinished(route_, requests_.empty()); }

bool GatherReduceTask::Poll() {
  if (done_) return true;
  const int64_t bytes = x_.bytes();
  if (requests_.empty()) {
    lease_ = Workspaces::Lease(workspaces_, bytes * route_.size);
    for (int i = 1; i < route_.size; ++i) {
      const int peer = (route_.rank - i + route_.size) % route_.size;
      requests_.Receive(route_, peer, lease_.data() + peer * bytes, bytes);
    }
    for (int i = 1; i < route_.size; ++i)
      requests_.Send(route_, (route_.rank + i) % route_.size, x_.data, bytes);
  }
  if (!requests_.Test(route_)) return false;
  std::vector<const std::byte*> rows;
  for (int r = 0; r < route_.size; ++r)
    rows.push_back(r == route_.rank ? x_.data : lease_.data() + r * bytes);
  ReduceRows(op_, x_.dtype, x_.data, rows, x_.elements());
  lease_ = {};
  done_ = true;
  return true;
}

std::string GatherReduceTask::Describe() const {
  std::set<int> peers;
  requests_.AddPending(&peers);
  return route_.DescribeWait(peers);
}

ReduceScatterTask::ReduceScatterTask(Route route, std::shared_ptr<Workspaces> workspaces,
                                     std::byte* out, Tensor in, ReduceOp op)
    : route_(route), workspaces_(std::move(workspaces)), out_(out), in_(in), op_(op) {
  for (int r = 0; r <= route_.size; ++r) offsets_.push_back(PartOffset(in_, r, route_.size));
  int64_t largest = 1;
  for (int r = 0; r < route_.size; ++r) largest = std::max(largest, offsets_[r + 1] - offsets_[r]);
  segment_bytes_ = std::min(kSegmentBytes, largest);
  for (int r = 0; r < route_.size; ++r) {
    if (r != route_.rank) sends_ = std::max(sends_, SegmentsOf(r));
  }
  receives_ = SegmentsOf(route_.rank);
}

ReduceScatterTask::~ReduceScatterTask() {
  CheckFinished(route_, sends_posted_ == sends_done_ && receives_posted_ == receives_done_);
}

int64_t ReduceScatterTask::SegmentsOf(int part) const {
  return (offsets_[part + 1] - offsets_[part] + segment_bytes_ - 1) / segment_bytes_;
}

ReduceScatterTask::Range ReduceScatterTask::SegmentOf(int part, int64_t segment) const {
  const int64_t size = offsets_[part + 1] - offsets_[part];
  const int64_t begin = std::min(segment * segment_bytes_, size);
  return {begin, std::min(segment_bytes_, size - begin)};
}

std::byte* ReduceScatterTask::Slot(int64_t segment, int peer) const {
  return lease_.data() + (segment % kDepth * route_.size + peer) * segment_bytes_;
}

void ReduceScatterTask::PostSends(int64_t segment) {
  for (int i = 1; i < route_.size; ++i) {
    const int peer = (route_.rank + i) % route_.size;
    const Range range = SegmentOf(peer, segment);
    sending_[segment % kDepth].Send(route_, peer, in_.data + offsets_[peer] + range.begin,
                                    range.size);
  }
}

void ReduceScatterTask::PostReceives(int64_t segment) {
  const Range range = SegmentOf(route_.rank, segment);
  for (int i = 1; i < route_.size; ++i) {
    const int peer = (route_.rank - i + route_.size) % route_.size;
    receiving_[segment % kDepth].Receive(route_, peer, Slot(segment, peer), range.size);
  }
}

void ReduceScatterTask::ReduceSegment(int64_t segment) {
  const Range range = SegmentOf(route_.rank, segment);
  rows_.clear();
  for (int r = 0; r < route_.size; ++r) {
    rows_.push_back(r == route_.rank ? in_.data + offsets_[r] + range.begin : Slot(segment, r));
  }
  ReduceRows(op_, in_.dtype, out_ + range.begin, rows_,
             range.size / static_cast<int64_t>(SizeOf(in_.dtype)));
}

bool ReduceScatterTask::Poll() {
  if (receives_done_ == receives_ && sends_done_ == sends_) return true;
  if (receives_ > 0 && receives_posted_ == 0)
    lease_ = Workspaces::Lease(workspaces_, segment_bytes_ * route_.size * kDepth);
  bool moved = true;
  while (moved) {
    moved = false;
    for (; receives_posted_ < std::min(receives_, receives_done_ + kDepth); ++receives_posted_)
      PostReceives(receives_posted_);
    for (; sends_posted_ < std::min(sends_, sends_done_ + kDepth); ++sends_posted_)
      PostSends(sends_posted_);
    if (sends_done_ < sends_posted_ && sending_[sends_done_ % kDepth].Test(route_)) {
      ++sends_done_;
      moved = true;
    }
    if (receives_done_ < receives_posted_ && receiving_[receives_done_ % kDepth].Test(route_)) {
      ReduceSegment(receives_done_++);
      moved = true;
    }
  }
  if (receives_done_ < receives_ || sends_done_ < sends_) return false;
  lease_ = {};
  return true;
}

std::string ReduceScatterTask::Describe() const {
  std::set<int> peers;
  for (const Requests& requests : sending_) requests.AddPending(&peers);
  for (const Requests& requests : receiving_) requests.AddPending(&peers);
  return route_.DescribeWait(peers);
}

std::string SequenceTask::Describe() const {
  return next_ < tasks_.size() ? tasks_[next_]->Describe() : "nothing";
}

bool SequenceTask::Poll() {
  while (next_ < tasks_.size() && tasks_[next_]->Poll()) ++next_;
  return next_ == tasks_.size();
}

Phase GatherParts(const Route& route, const Tensor& x, int root) {
  const auto part = [&](int r) {
    const int64_t begin = PartOffset(x, r, route.size);
    return Message{r, x.data + begin, PartOffset(x, r + 1, route.size) - begin};
  };
  Phase phase;
  Message own = part(route.rank);
  for (int i = 1; i < route.size; ++i) {
    own.peer = (route.rank + i) % route.size;
    if (own.peer != root) phase.sends.push_back(own);
    if (route.rank != root)
      phase.receives.push_back(part((route.rank - i + route.size) % route.size));
  }
  return phase;
}

}  // namespace tl
