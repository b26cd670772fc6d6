// SPDX-License-Identifier: Apache-2.0
// Operations of NCCL's stand-in on their way.
#pragma once

#include "tests/simt/nccl/communicator.h"

namespace tl::simt {

// An operation on its way. finish(payloads of all messages) writes `out`.
class Flight {
 public:
  Flight(Comm comm, const char* call, Range in, Range out)
      : comm_(comm), call_(call), in_(in), out_(out) {
    static int64_t operations = 0;
    fault_ = FaultOf(++operations);
    if (fault_ == Fault::kStuck) comm->stuck = true;
    ++comm_->open;
    CheckRange(call, in);
    CheckRange(call, out);
  }
  virtual ~Flight() = default;

  bool Poll() {
    if (comm_->aborted) return Done();
    if (fault_ == Fault::kHang) return false;
    if (fault_ == Fault::kError) {
      comm_->error = kRemoteError;
      return false;
    }
    if (!started_) {
      started_ = true;
      Send();
      for (Message& m : sends_) Start(m);
      before_.assign(in_.data, in_.data + in_.bytes);
      for (size_t i = 0; i < out_.bytes; ++i)
        if (!Kept(out_.data + i)) out_.data[i] = std::byte{0xff};
    }
    bool all = true;
    for (Message& m : receives_) all = Received(m) && all;
    for (Message& m : sends_) all = Sent(m) && all;
    if (!all) return false;
    CheckUntouched();
    Finish();
    return Done();
  }

 protected:
  virtual void Send() = 0;
  virtual void Finish() = 0;

  Comm comm_;
  const char* call_;
  Range in_, out_;
  Bytes before_;  // what was read
  std::vector<Message> sends_, receives_;

 private:
  bool Done() {
    --comm_->open;
    return true;
  }
  static bool Within(const Range& x, const std::byte* p) {
    return p >= x.data && p < x.data + x.bytes;
  }
  // An all-gather in place leaves the part that it reads as it is.
  bool Kept(const std::byte* p) const { return in_.bytes < out_.bytes && Within(in_, p); }
  void CheckUntouched() const {
    const auto poisoned = [&](const std::byte* p) { return Within(out_, p) && !Kept(p); };
    for (size_t i = 0; i < in_.bytes; ++i) {
      if (in_.data[i] != before_[i] && !poisoned(in_.data + i))
        return Refuse(std::string("what ") + call_ + " reads was written while it was in flight");
    }
    for (size_t i = 0; i < out_.bytes; ++i) {
      if (poisoned(out_.data + i) && out_.data[i] != std::byte{0xff})
        return Refuse(std::string("what ") + call_ + " writes was written while it was in flight");
    }
  }

  Fault fault_ = Fault::kNone;
  bool started_ = false;
};

struct Call {
  const char* name;
  const void* in;
  void* out;
  size_t count;  // as NCCL means it for this call
  DataType type;
  RedOp op = kSum;
  int root = 0;
};

class Collective : public Flight {
 public:
  Collective(Comm comm, const Call& call, Range in, Range out)
      : Flight(comm, call.name, in, out),
        call_args_(call),
        tag_(comm->number << 16 | static_cast<int>(comm->operations++ & 0x7fff)) {
    std::strncpy(header_.call, call.name, sizeof(header_.call) - 1);
    header_.count = static_cast<int64_t>(call.count);
    header_.type = call.type;
    header_.op = call.op;
    header_.root = call.root;
  }

 private:
  bool Is(const char* name) const { return std::strcmp(call_args_.name, name) == 0; }
  size_t part() const { return call_args_.count * SizeOfType(call_args_.type); }

  void Send() override {
    for (int peer = 0; peer < comm_->size; ++peer) {
      if (peer == comm_->rank) continue;
      const std::byte* from = in_.data;
      size_t bytes = in_.bytes;
      if (Is("ReduceScatter")) from += peer * part(), bytes = part();
      if (Is("Broadcast") && comm_->rank != call_args_.root) bytes = 0;
      const int to = comm_->world_rank[peer];
      sends_.push_back({to, tag_, Pack(header_, from, bytes)});
      receives_.push_back({to, tag_, {}});
    }
  }

  void Finish() override {
    // Every rank's part of this call, this rank's own too.
    std::vector<const std::byte*> of(comm_->size);
    size_t next = 0;
    for (int peer = 0; peer < comm_->size; ++peer) {
      const bool broadcast = Is("Broadcast");
      const size_t bytes = broadcast ? (peer == call_args_.root ? part() : 0) : part();
      of[peer] = peer == comm_->rank ? before_.data() : Unpack(receives_[next++], header_, bytes);
    }
    if (Is("ReduceScatter")) of[comm_->rank] += comm_->rank * part();
    if (Is("Broadcast")) {
      if (part() > 0) std::memcpy(out_.data, of[call_args_.root], part());
    } else if (Is("AllGather")) {
      for (int r = 0; r < comm_->size; ++r) std::memcpy(out_.data + r * part(), of[r], part());
    } else {
      const auto n = static_cast<int64_t>(call_args_.count);
      for (int chunk = 0; chunk < comm_->size; ++chunk) {
        const bool whole = Is("ReduceScatter");
        if (whole && chunk != comm_->rank) continue;
        AroundTheRing(of, chunk, whole ? 0 : n * chunk / comm_->size,
                      whole ? n : n * (chunk + 1) / comm_->size);
      }
    }
  }

  // A chunk's sum starts at the rank after its owner and ends there.
  void AroundTheRing(const std::vector<const std::byte*>& of, int owner, int64_t begin,
                     int64_t end) {
    const size_t size = SizeOfType(call_args_.type);
    const int first = (owner + 1) % comm_->size;
    std::memcpy(out_.data + begin * size, of[first] + begin * size, (end - begin) * size);
    for (int i = 1; i < comm_->size; ++i)
      Reduce(out_.data, of[(first + i) % comm_->size], begin, end, call_args_.type, call_args_.op);
  }

  Call call_args_;
  Header header_;
  int tag_;
};

// One Send or Recv.
class PointToPoint : public Flight {
 public:
  PointToPoint(Comm comm, Range range, Header header, int peer, bool sends)
      : Flight(comm, sends ? "Send" : "Recv", sends ? range : Range{}, sends ? Range{} : range),
        header_(header),
        peer_(comm->world_rank[peer]),
        sends_data_(sends) {
    int& count = sends ? comm->sent[peer] : comm->received[peer];
    tag_ = comm->number << 16 | 0x8000 | (count++ & 0x7fff);
  }

 private:
  void Send() override {
    if (sends_data_)
      sends_.push_back({peer_, tag_, Pack(header_, in_.data, in_.bytes)});
    else
      receives_.push_back({peer_, tag_, {}});
  }
  void Finish() override {
    if (!sends_data_) std::memcpy(out_.data, Unpack(receives_[0], header_, out_.bytes), out_.bytes);
  }

  Header header_;
  int peer_, tag_ = 0;
  bool sends_data_;
};

}  // namespace tl::simt
