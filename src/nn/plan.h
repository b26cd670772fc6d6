// SPDX-License-Identifier: Apache-2.0
// What a model will need, told before anything is allocated: parameters, every activation with its
// lifetime, the matrix products, and the ops' scratch. From the lifetimes comes one arena with
// offsets, so memory is known, printed and refused before a step runs, and nothing is allocated
// during one.
//
// Layers call the plan in the order of their forward pass. Time is counted in ticks; the backward
// pass is the mirror image of the forward pass, so that a slot that is saved at tick t for the
// backward pass lives until the mirror of t.
#pragma once

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "device/tensor.h"
#include "nn/params.h"

namespace tl {

enum class Life : uint8_t {
  kForward,  // from here to End() or the end of the scope, in the forward pass
  kSaved,    // from here until the backward pass has come back to here
  kBackward  // in the backward pass, while it is in the mirror image of [here, End() or scope's
             // end]
};

using SlotId = int;

// Of what one attention layer keeps per token when decoding: this rank's key/value heads.
struct CacheShape {
  int64_t heads = 0;
  int64_t head_dim = 0;
};

class Plan {
 public:
  enum class Purpose : uint8_t {
    kTraining,
    kInputGradient, /* a backward pass to the inputs; parameters have no gradients */
    kInference      /* no backward: kSaved lives like kForward */
  };

  Plan(ParamTable& params, Purpose purpose) : params_(params), purpose_(purpose) {}
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;

  // kRead: used without a gradient of its own, so that the parameter waits for none.
  enum class Use : uint8_t { kTrain, kRead };
  ParamId Param(const ParamSpec& spec, Use use = Use::kTrain);
  // Whether that use gives a gradient.
  bool Trains(ParamId id, Use use = Use::kTrain) const {
    return learns() && use == Use::kTrain && params_[id].spec.trainable;
  }
  const ParamTable& params() const { return params_; }
  // Whether what is declared now has a backward pass.
  bool has_backward() const { return purpose_ != Purpose::kInference && !group_.frozen; }
  // Whether that pass gives parameters gradients.
  bool learns() const { return purpose_ == Purpose::kTraining && !group_.frozen; }
  // Whether it goes on to the inputs.
  bool to_inputs() const { return purpose_ == Purpose::kInputGradient && !group_.frozen; }
  SlotId Slot(std::string name, Shape shape, DType dtype, Life life);
  // Declares a slot that is written and read where something is trained alone: a gradient that is
  // made in the forward pass, as losses make theirs. Takes no memory elsewhere.
  SlotId GradientSlot(std::string name, Shape shape, DType dtype, Life life);
  // The last use in the forward pass (kForward), or the first in the backward pass (kBackward), is
  // before what is declared from now on.
  void End(SlotId slot);
  // An attention layer's place in a KvCache: its index there.
  int Cache(CacheShape shape) {
    caches_.push_back(shape);
    return static_cast<int>(caches_.size()) - 1;
  }
  const std::vector<CacheShape>& caches() const { return caches_; }

  // Counts a matrix product of the whole model, the same on every grid, by the FLOPs per token of
  // its forward pass. Where there is a backward pass each operand's gradient costs as much again.
  enum class Gradients : uint8_t { kNone, kOne, kBoth };
  void Product(double flops, Gradients gradients);
  // The same of y = x W^T, with its scratch; `use` decides whether W has a gradient.
  struct ProductInput {
    double rows_per_token = 1.0;  // of x, where it has not a row for each of the stream
    bool gradient = true;         // x has one
  };
  void WeightProduct(ParamId weight, Use use, ProductInput x);
  void WeightProduct(ParamId weight, Use use = Use::kTrain) { WeightProduct(weight, use, {}); }
  // Of all products, forward and backward, what is recomputed counted once.
  double flops_per_token() const { return flops_per_token_; }

  // Keeps room for the scratch that an op takes of the stream on a CUDA device, as the op's header
  // tells it: in passes over whole sequences.
  enum class When : uint8_t { kForward, kBackward };
  void Scratch(When when, std::function<int64_t()> bytes) {
    if (when == When::kForward || has_backward()) scratch_.push_back(std::move(bytes));
  }
  // The same in decoding passes, by the places of the K/V cache.
  void CachedScratch(std::function<int64_t(int64_t capacity)> bytes) {
    cached_scratch_.push_back(std::move(bytes));
  }
  // The most that one op takes.
  int64_t scratch_bytes() const;
  int64_t cached_scratch_bytes(int64_t capacity) const;

  // Tells how many tokens a loss takes at a time.
  void LossChunk(int64_t tokens) { loss_chunk_ = std::max(loss_chunk_, tokens); }
  int64_t loss_chunk() const { return loss_chunk_; }

  // Ends the slots declared in it at its own end.
  class Scope {
   public:
    ~Scope();
    Scope(const Scope&) = delete;

   private:
    friend class Plan;
    enum class Kind : uint8_t { kPlain, kRecomputed, kTurning };
    Scope(Plan& plan, Kind kind);
    Plan& plan_;
    Kind kind_;
    int begin_;
    int outer_begin_;
    int outer_recompute_;
  };
  [[nodiscard]] Scope Enter() { return Scope(*this, Scope::Kind::kPlain); }
  // What is saved in it is made again in the backward pass, by running its forward pass again just
  // before the backward pass through it.
  [[nodiscard]] Scope Recomputed() { return Scope(*this, Scope::Kind::kRecomputed); }

  // Its layers run forward, and at its end backward, before anything that follows: the mirror of
  // its slots is its own end. Turning scopes do not nest.
  [[nodiscard]] Scope Turning() { return Scope(*this, Scope::Kind::kTurning); }

  // How parameters declared from here on are trained, until the group goes away. Ends no slots.
  struct Group {
    bool frozen = false;    // no gradient, no backward pass: slots live as in an inference plan
    double lr_scale = 1.0;  // of the learning rate
    bool optional = false;  // weights to start from may lack them
    int head = -1;          // see ParamSpec
  };
  class GroupScope {
   public:
    ~GroupScope() { plan_.group_ = outer_; }
    GroupScope(const GroupScope&) = delete;

   private:
    friend class Plan;
    GroupScope(Plan& plan, const Group& group) : plan_(plan), outer_(plan.group_) {
      plan.group_ = group;
    }
    Plan& plan_;
    Group outer_;
  };
  [[nodiscard]] GroupScope As(const Group& group) { return GroupScope(*this, group); }

  // Every use of a parameter so far that gives a gradient, in the order of declarations.
  const std::vector<ParamId>& gradient_uses() const { return gradient_uses_; }

  // Bytes that the arena has at least, however many and before Finish(): what is kept for the
  // backward pass, or the largest of it where that is made again. Losses, whose chunks may be
  // smaller, are not in it.
  double least_bytes() const;
  // Ends declarations; gives every slot its offset, a multiple of kMatmulAlignment (first fit,
  // largest first).
  void Finish();

  // After Finish().
  int64_t arena_bytes() const { return arena_bytes_; }
  int64_t saved_bytes() const;  // of slots that live into the backward pass
  Tensor View(SlotId slot, std::byte* arena, Device device) const;

 private:
  struct SlotInfo {
    std::string name;
    Shape shape;
    DType dtype;
    Life life;
    int begin = 0;
    int end = -1;            // -1: still open
    int recompute_end = -1;  // end of the recomputed scope around it
    int recompute_scope = -1;
    bool frozen = false;
    int mirror = -1;     // of a turning scope: the mirror of tick t is mirror - t
    bool needed = true;  // not so the backward pass's where there is none
    int64_t offset = 0;
    int64_t bytes = 0;
    // From its place in the forward pass to its mirror.
    bool kept() const { return life == Life::kSaved && recompute_end < 0 && !frozen && mirror < 0; }
    double size() const { return CountElements(shape) * static_cast<double>(SizeOf(dtype)); }
  };
  bool Overlap(const SlotInfo& a, const SlotInfo& b) const;
  int Intervals(const SlotInfo& slot, int out[2][2]) const;

  ParamTable& params_;
  Purpose purpose_;
  std::vector<SlotInfo> slots_;
  std::vector<CacheShape> caches_;
  int tick_ = 0;
  int scope_begin_ = 0;  // first slot of the innermost scope
  int recompute_scope_ = -1;
  int recompute_scopes_ = 0;
  int turning_begin_ = -1;  // first slot of the turning scope, -1: outside of one
  Group group_;
  std::vector<ParamId> gradient_uses_;
  int64_t arena_bytes_ = 0;
  double flops_per_token_ = 0.0;
  std::vector<std::function<int64_t()>> scratch_;
  std::vector<std::function<int64_t(int64_t)>> cached_scratch_;
  int64_t loss_chunk_ = 0;
};

}  // namespace tl
