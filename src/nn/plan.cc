// SPDX-License-Identifier: Apache-2.0
#include "nn/plan.h"

#include <algorithm>
#include <numeric>

#include "kernels/matmul.h"

namespace tl {

ParamId Plan::Param(const ParamSpec& spec, Use use) {
  ParamSpec grouped = spec;
  grouped.trainable = spec.trainable && !group_.frozen;
  grouped.lr_scale *= group_.lr_scale;
  grouped.optional |= group_.optional;
  grouped.head = group_.head;
  const bool trains = use == Use::kTrain && !group_.frozen;
  const ParamId id = params_.Declare(grouped, trains ? 1 : 0);
  if (trains && params_[id].spec.trainable) gradient_uses_.push_back(id);
  return id;
}

SlotId Plan::Slot(std::string name, Shape shape, DType dtype, Life life) {
  SlotInfo slot{.name = std::move(name), .shape = shape, .dtype = dtype, .life = life};
  slot.begin = ++tick_;
  slot.recompute_scope = recompute_scope_;
  slot.frozen = group_.frozen;
  slot.needed = has_backward() || life != Life::kBackward;
  slots_.push_back(slot);
  return static_cast<SlotId>(slots_.size()) - 1;
}

SlotId Plan::GradientSlot(std::string name, Shape shape, DType dtype, Life life) {
  const SlotId id = Slot(std::move(name), shape, dtype, life);
  slots_[id].needed = learns();
  return id;
}

void Plan::End(SlotId slot) {
  TL_CHECK_EQ(slots_[slot].end, -1) << slots_[slot].name << " ended twice";
  slots_[slot].end = ++tick_;
}

void Plan::Product(double flops, Gradients gradients) {
  const int times = has_backward() ? 1 + static_cast<int>(gradients) : 1;
  flops_per_token_ += times * flops;
}

void Plan::WeightProduct(ParamId weight, Use use, ProductInput x) {
  const int gradients = static_cast<int>(Trains(weight, use)) + static_cast<int>(x.gradient);
  Product(MatmulFlops(1, 1, 1) * params_[weight].spec.elements() * x.rows_per_token,
          static_cast<Gradients>(gradients));
  Scratch(When::kForward, [] { return MatmulScratch(); });
}

int64_t Plan::scratch_bytes() const {
  int64_t most = 0;
  for (const auto& bytes : scratch_) most = std::max(most, bytes());
  return most;
}

int64_t Plan::cached_scratch_bytes(int64_t capacity) const {
  int64_t most = 0;
  for (const auto& bytes : cached_scratch_) most = std::max(most, bytes(capacity));
  return most;
}

Plan::Scope::Scope(Plan& plan, Kind kind)
    : plan_(plan),
      kind_(kind),
      outer_begin_(plan.scope_begin_),
      outer_recompute_(plan.recompute_scope_) {
  begin_ = ++plan.tick_;
  plan.scope_begin_ = static_cast<int>(plan.slots_.size());
  if (kind == Kind::kRecomputed) plan.recompute_scope_ = plan.recompute_scopes_++;
  if (kind == Kind::kTurning) {
    TL_CHECK_EQ(plan.turning_begin_, -1) << "turning scopes do not nest";
    plan.turning_begin_ = plan.scope_begin_;
  }
}

Plan::Scope::~Scope() {
  ++plan_.tick_;
  for (size_t i = plan_.scope_begin_; i < plan_.slots_.size(); ++i) {
    SlotInfo& slot = plan_.slots_[i];
    if (slot.end < 0) slot.end = plan_.tick_;
    if (kind_ == Kind::kRecomputed && slot.recompute_scope == plan_.recompute_scope_)
      slot.recompute_end = plan_.tick_;
  }
  // As many ticks again, in whose mirror image the second run takes place.
  if (kind_ == Kind::kRecomputed) plan_.tick_ += plan_.tick_ - begin_ + 1;
  if (kind_ == Kind::kTurning) {
    const int mirror = 2 * plan_.tick_ + 1;
    for (size_t i = plan_.turning_begin_; i < plan_.slots_.size(); ++i)
      plan_.slots_[i].mirror = mirror;
    plan_.tick_ = mirror - begin_;
    plan_.turning_begin_ = -1;
  }
  plan_.scope_begin_ = outer_begin_;
  plan_.recompute_scope_ = outer_recompute_;
}

// Ticks 1..tick_ are the forward pass; the mirror of t is 2 tick_ + 1 - t.
int Plan::Intervals(const SlotInfo& slot, int out[2][2]) const {
  const bool inference = purpose_ == Purpose::kInference || slot.frozen;
  const auto mirror = [&](int t) { return (slot.mirror >= 0 ? slot.mirror : 2 * tick_ + 1) - t; };
  int n = 0;
  const auto add = [&](int begin, int end) {
    out[n][0] = begin;
    out[n++][1] = end;
  };
  if (inference || slot.life == Life::kForward) add(slot.begin, slot.end);
  if (inference) return n;
  if (slot.life == Life::kBackward) add(mirror(slot.end), mirror(slot.begin));
  if (slot.recompute_end >= 0) {
    // Made twice: in the scope's forward pass, and in its second run, which ends where the backward
    // pass through the scope begins.
    const auto again = [&](int t) {
      return mirror(slot.recompute_end) - 1 - (slot.recompute_end - t);
    };
    if (slot.life == Life::kSaved) {
      add(slot.begin, slot.recompute_end);
      add(again(slot.begin), mirror(slot.begin));
    } else if (slot.life == Life::kForward) {
      add(again(slot.begin), again(slot.end));
    }
  } else if (slot.life == Life::kSaved) {
    add(slot.begin, mirror(slot.begin));
  }
  return n;
}

bool Plan::Overlap(const SlotInfo& a, const SlotInfo& b) const {
  int ia[2][2], ib[2][2];
  const int na = Intervals(a, ia), nb = Intervals(b, ib);
  for (int i = 0; i < na; ++i) {
    for (int j = 0; j < nb; ++j) {
      if (ia[i][0] <= ib[j][1] && ib[j][0] <= ia[i][1]) return true;
    }
  }
  return false;
}

void Plan::Finish() {
  ++tick_;
  for (SlotInfo& slot : slots_) {
    if (slot.end < 0) slot.end = tick_;
    if (!slot.needed) continue;
    // No host has so much; sums of a few stay in an int64.
    const auto bytes = static_cast<int64_t>(std::min(slot.size(), 0x1p58));
    slot.bytes = (bytes + kMatmulAlignment - 1) / kMatmulAlignment * kMatmulAlignment;
  }
  std::vector<int> order(slots_.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [this](int a, int b) { return slots_[a].bytes > slots_[b].bytes; });
  std::vector<int> placed;
  for (const int id : order) {
    SlotInfo& slot = slots_[id];
    if (slot.bytes == 0) continue;
    std::vector<std::pair<int64_t, int64_t>> taken;
    for (const int other : placed) {
      if (Overlap(slot, slots_[other]))
        taken.emplace_back(slots_[other].offset, slots_[other].offset + slots_[other].bytes);
    }
    std::sort(taken.begin(), taken.end());
    int64_t offset = 0;
    for (const auto& [begin, end] : taken) {
      if (begin - offset >= slot.bytes) break;
      offset = std::max(offset, end);
    }
    slot.offset = offset;
    arena_bytes_ = std::max(arena_bytes_, offset + slot.bytes);
    placed.push_back(id);
  }
}

double Plan::least_bytes() const {
  double saved = 0.0, largest = 0.0;
  for (const SlotInfo& slot : slots_) {
    if (slot.life != Life::kSaved || !slot.needed) continue;
    if (slot.kept() && purpose_ != Purpose::kInference) saved += slot.size();
    largest = std::max(largest, slot.size());
  }
  return std::max(saved, largest);
}

int64_t Plan::saved_bytes() const {
  int64_t bytes = 0;
  for (const SlotInfo& slot : slots_) {
    if (slot.kept()) bytes += slot.bytes;
  }
  return bytes;
}

Tensor Plan::View(SlotId slot, std::byte* arena, Device device) const {
  const SlotInfo& info = slots_[slot];
  TL_CHECK(info.bytes > 0 || info.shape.elements() == 0)
      << info.name << " has no memory in an inference plan";
  return Tensor::Contiguous(arena + info.offset, info.shape, info.dtype, device);
}

}  // namespace tl
