// SPDX-License-Identifier: Apache-2.0
// The memory plan against a machine that only remembers which bytes were last written by whom: it
// runs a random model the way layers run (forward, then the mirror image, some scopes twice, some
// there and back) and looks at every use whether the bytes are still there.
#include "nn/plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace tl {
namespace {

using Random = std::mt19937;

int Below(Random& random, int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); }

// A model as it would be told to a plan: slots, and scopes with more of both.
struct Node {
  enum class Kind { kSlot, kEnd, kScope, kRecomputed, kTurning };
  Kind kind = Kind::kSlot;
  Life life = Life::kForward;
  int64_t elements = 0;
  Node* target = nullptr;  // kEnd: the slot that ends
  bool ended = false;      // kSlot: some kEnd ends it
  SlotId id = -1;
  std::vector<std::unique_ptr<Node>> children;
};

std::unique_ptr<Node> RandomSlot(Random& random) {
  auto node = std::make_unique<Node>();
  node->life = static_cast<Life>(Below(random, 3));
  node->elements = Below(random, 10) == 0 ? 0 : 1 + Below(random, 200);
  return node;
}

void Fill(Node& scope, Random& random, int depth, bool recomputed, bool turning = false) {
  const int count = 1 + Below(random, 6);
  for (int i = 0; i < count; ++i) {
    const int choice = Below(random, 6);
    if (choice == 0 && depth > 0) {
      auto inner = std::make_unique<Node>();
      const bool again = !recomputed && Below(random, 2) == 0;
      const bool turns = !recomputed && !again && !turning && Below(random, 2) == 0;
      inner->kind = again   ? Node::Kind::kRecomputed
                    : turns ? Node::Kind::kTurning
                            : Node::Kind::kScope;
      Fill(*inner, random, depth - 1, recomputed || again, turning || turns);
      scope.children.push_back(std::move(inner));
    } else if (choice == 1) {
      std::vector<Node*> open;
      for (const auto& child : scope.children) {
        if (child->kind == Node::Kind::kSlot && child->life != Life::kSaved && !child->ended)
          open.push_back(child.get());
      }
      if (open.empty()) continue;
      auto end = std::make_unique<Node>();
      end->kind = Node::Kind::kEnd;
      end->target = open[static_cast<size_t>(Below(random, static_cast<int>(open.size())))];
      end->target->ended = true;
      scope.children.push_back(std::move(end));
    } else {
      scope.children.push_back(RandomSlot(random));
    }
  }
}

void Tell(Plan& plan, Node& node) {
  for (const auto& child : node.children) {
    switch (child->kind) {
      case Node::Kind::kSlot:
        child->id = plan.Slot("slot", {child->elements}, DType::kF32, child->life);
        break;
      case Node::Kind::kEnd:
        plan.End(child->target->id);
        break;
      case Node::Kind::kScope: {
        const auto scope = plan.Enter();
        Tell(plan, *child);
        break;
      }
      case Node::Kind::kTurning: {
        const auto scope = plan.Turning();
        Tell(plan, *child);
        break;
      }
      case Node::Kind::kRecomputed: {
        const auto scope = plan.Recomputed();
        Tell(plan, *child);
        break;
      }
    }
  }
}

class Machine {
 public:
  Machine(const Plan& plan, bool training)
      : plan_(plan),
        training_(training),
        arena_(static_cast<size_t>(plan.arena_bytes()) / sizeof(float), -1.0f) {}

  // Writes a slot when it is declared; uses it when it ends.
  void Forward(const Node& scope) {
    for (const auto& child : scope.children) {
      if (child->kind == Node::Kind::kSlot && child->life != Life::kBackward) Write(*child);
      if (child->kind == Node::Kind::kEnd && child->target->life == Life::kForward)
        Use(*child->target);
      if (!child->children.empty()) Forward(*child);
      if (child->kind == Node::Kind::kTurning && training_) Backward(*child);
    }
    for (const auto& child : scope.children) {
      const bool forward = child->life == Life::kForward || !training_;
      if (child->kind == Node::Kind::kSlot && child->life != Life::kBackward && !child->ended &&
          forward)
        Use(*child);
    }
    if (scope.kind == Node::Kind::kRecomputed && training_) UseSaved(scope);
  }

  // The mirror image: what was declared last comes first.
  void Backward(const Node& scope) {
    if (scope.kind == Node::Kind::kRecomputed) Forward(scope);
    for (const auto& child : scope.children) {
      if (child->kind == Node::Kind::kSlot && child->life == Life::kBackward && !child->ended)
        Write(*child);
    }
    for (auto child = scope.children.rbegin(); child != scope.children.rend(); ++child) {
      const Node& node = **child;
      if (node.kind == Node::Kind::kEnd && node.target->life == Life::kBackward)
        Write(*node.target);
      if (!node.children.empty() && node.kind != Node::Kind::kTurning) Backward(node);
      if (node.kind == Node::Kind::kSlot && node.life != Life::kForward) Use(node);
    }
  }

  bool broken() const { return broken_; }

 private:
  float* At(const Node& slot) {
    const Tensor view = plan_.View(slot.id, reinterpret_cast<std::byte*>(arena_.data()), Device{});
    EXPECT_EQ((view.data - reinterpret_cast<std::byte*>(arena_.data())) % 256, 0);
    EXPECT_LE(view.data + view.bytes(),
              reinterpret_cast<std::byte*>(arena_.data() + arena_.size()));
    return view.as<float>();
  }
  void Write(const Node& slot) {
    if (slot.elements > 0) std::fill_n(At(slot), slot.elements, static_cast<float>(slot.id));
  }
  void Use(const Node& slot) {
    if (slot.elements == 0) return;
    const float* data = At(slot);
    for (int64_t i = 0; i < slot.elements; ++i) broken_ |= data[i] != static_cast<float>(slot.id);
  }
  // In the first forward pass of a recomputed scope what is saved serves until its end.
  void UseSaved(const Node& scope) {
    for (const auto& child : scope.children) {
      if (child->kind == Node::Kind::kSlot && child->life == Life::kSaved) Use(*child);
      UseSaved(*child);
    }
  }

  const Plan& plan_;
  bool training_;
  std::vector<float> arena_;
  bool broken_ = false;
};

int64_t ArenaBytes(Node& model, Plan::Purpose purpose, bool* broken) {
  ParamTable params(1, 1, 0);
  Plan plan(params, purpose);
  Tell(plan, model);
  plan.Finish();
  const bool training = purpose == Plan::Purpose::kTraining;
  Machine machine(plan, training);
  for (int pass = 0; pass < 2; ++pass) {
    machine.Forward(model);
    if (training) machine.Backward(model);
  }
  *broken = machine.broken();
  return plan.arena_bytes();
}

TEST(Plan, NothingAliveIsOverwritten) {
  int smaller = 0;
  constexpr int kModels = 3000;
  for (int seed = 0; seed < kModels; ++seed) {
    Random random(static_cast<unsigned>(seed));
    Node model;
    model.kind = Node::Kind::kScope;
    Fill(model, random, 4, false);
    bool broken = false;
    const int64_t training = ArenaBytes(model, Plan::Purpose::kTraining, &broken);
    ASSERT_FALSE(broken) << "training plan of model " << seed;
    const int64_t inference = ArenaBytes(model, Plan::Purpose::kInference, &broken);
    ASSERT_FALSE(broken) << "inference plan of model " << seed;
    EXPECT_LE(inference, training) << seed;
    smaller += inference < training;
  }
  EXPECT_GT(smaller, kModels / 3);
}

// The machine itself notices an arena that is too small by one slot.
TEST(Plan, TheTestWouldNotice) {
  ParamTable params(1, 1, 0);
  Plan plan(params, Plan::Purpose::kTraining);
  Node model;
  model.kind = Node::Kind::kScope;
  for (int i = 0; i < 2; ++i) {
    model.children.push_back(std::make_unique<Node>());
    model.children[static_cast<size_t>(i)]->elements = 16;
  }
  // Told: the first ends before the second; done: it is used after it.
  model.children[0]->id = plan.Slot("a", {16}, DType::kF32, Life::kForward);
  plan.End(model.children[0]->id);
  model.children[1]->id = plan.Slot("b", {16}, DType::kF32, Life::kForward);
  plan.Finish();
  EXPECT_EQ(plan.arena_bytes(), 256);
  Machine machine(plan, true);
  machine.Forward(model);
  EXPECT_TRUE(machine.broken());
}

TEST(Plan, SharesWhatIsNotAliveTogether) {
  ParamTable params(1, 1, 0);
  Plan plan(params, Plan::Purpose::kTraining);
  const Shape kilobyte{256};
  const auto slot = [&](Life life) { plan.Slot("s", kilobyte, DType::kF32, life); };
  for (int layer = 0; layer < 3; ++layer) {
    slot(Life::kSaved);
    const auto scope = plan.Enter();
    slot(Life::kForward);
    slot(Life::kBackward);
  }
  plan.Finish();
  // Three saved, and one place that all the others share in turn.
  EXPECT_EQ(plan.arena_bytes(), 4 * 1024);
  EXPECT_EQ(plan.saved_bytes(), 3 * 1024);
}

TEST(Plan, RecomputedScopesShareTheirMemory) {
  ParamTable params(1, 1, 0);
  Plan plan(params, Plan::Purpose::kTraining);
  for (int layer = 0; layer < 8; ++layer) {
    plan.Slot("input", {16}, DType::kF32, Life::kSaved);
    const auto scope = plan.Recomputed();
    plan.Slot("inside", {256}, DType::kF32, Life::kSaved);
  }
  plan.Finish();
  EXPECT_EQ(plan.arena_bytes(), 8 * 256 + 1024);
  EXPECT_EQ(plan.saved_bytes(), 8 * 256);
}

TEST(PlanDeathTest, RefusesASecondEnd) {
  ParamTable params(1, 1, 0);
  Plan plan(params, Plan::Purpose::kTraining);
  const SlotId slot = plan.Slot("once", {1}, DType::kF32, Life::kForward);
  plan.End(slot);
  EXPECT_DEATH(plan.End(slot), "once ended twice");
}

TEST(PlanDeathTest, InferenceHasNoBackwardMemory) {
  ParamTable params(1, 1, 0);
  Plan plan(params, Plan::Purpose::kInference);
  const SlotId slot = plan.Slot("d_x", {4}, DType::kF32, Life::kBackward);
  plan.Finish();
  EXPECT_EQ(plan.arena_bytes(), 0);
  EXPECT_DEATH(plan.View(slot, nullptr, Device{}), "d_x has no memory");
}

TEST(PlanDeathTest, GradientsOfTheForwardPassTakeMemoryWhereSomethingIsTrainedAlone) {
  for (const auto purpose : {Plan::Purpose::kTraining, Plan::Purpose::kInference}) {
    for (const bool frozen : {false, true}) {
      SCOPED_TRACE(frozen);
      ParamTable params(1, 1, 0);
      Plan plan(params, purpose);
      SlotId slot = -1;
      {
        const auto group = plan.As({.frozen = frozen});
        slot = plan.GradientSlot("d_loss", {4}, DType::kF32, Life::kForward);
      }
      plan.Finish();
      if (purpose == Plan::Purpose::kTraining && !frozen) {
        EXPECT_GE(plan.arena_bytes(), 16);
      } else {
        EXPECT_EQ(plan.arena_bytes(), 0);
        EXPECT_DEATH(plan.View(slot, nullptr, Device{}), "d_loss has no memory");
      }
    }
  }
}

ParamSpec Matrix(const std::string& name, int64_t out, int64_t in) {
  return {.name = name, .parts = {{.name = name, .shape = {out, in}, .split_axis = 0}}};
}

TEST(Plan, CountsAProductOnceForEachGradientMore) {
  ParamTable table(1, 4, 3);
  Plan plan(table, Plan::Purpose::kTraining);
  double flops = 0.0;
  const auto added = [&] {
    return plan.flops_per_token() - std::exchange(flops, plan.flops_per_token());
  };
  const ParamId whole = plan.Param(Matrix("whole", 10, 3));
  plan.WeightProduct(whole);
  EXPECT_EQ(added(), 3 * 60);  // also where the parameter is divided
  plan.WeightProduct(whole, Plan::Use::kRead);
  EXPECT_EQ(added(), 2 * 60);
  plan.Product(7, Plan::Gradients::kNone);
  EXPECT_EQ(added(), 7);
  {
    const auto again = plan.Recomputed();
    plan.Product(7, Plan::Gradients::kBoth);
  }
  EXPECT_EQ(added(), 21);
  {
    const auto frozen = plan.As({.frozen = true});
    plan.WeightProduct(plan.Param(Matrix("frozen", 2, 2)));
    plan.Product(7, Plan::Gradients::kBoth);
  }
  EXPECT_EQ(added(), 8 + 7);
  plan.WeightProduct(plan.Param(Matrix("frozen", 2, 2)));
  EXPECT_EQ(added(), 2 * 8);  // its input's gradient alone
  EXPECT_EQ(table.parameters(), 34);
}

// Also of sizes that one cannot count with.
TEST(Plan, KnowsALowerBoundBeforeItIsFinished) {
  constexpr int64_t kHuge = int64_t{1} << 40;
  for (const auto purpose : {Plan::Purpose::kTraining, Plan::Purpose::kInference}) {
    const bool training = purpose == Plan::Purpose::kTraining;
    ParamTable table(1, 4, 3);
    Plan plan(table, purpose);
    plan.Slot("first", {100}, DType::kF32, Life::kSaved);
    plan.Slot("second", {300}, DType::kF32, Life::kSaved);
    plan.Slot("logits", {5000}, DType::kF32, Life::kForward);
    {
      const auto again = plan.Recomputed();
      plan.Slot("again", {200}, DType::kF32, Life::kSaved);
    }
    EXPECT_EQ(plan.least_bytes(), training ? 1600.0 : 1200.0);
    plan.Slot("huge", {kHuge, kHuge}, DType::kF32, Life::kSaved);
    EXPECT_EQ(plan.least_bytes(), 0x1p82 + (training ? 1600.0 : 0.0));
    plan.Param(Matrix("matrix", kHuge, kHuge));
    const auto frozen = plan.As({.frozen = true});
    plan.Param(Matrix("frozen", 8, 3));
    EXPECT_EQ(table.parameters(), 0x1p80);
    EXPECT_EQ(table.shard_elements(false), 0x1p78);
    EXPECT_EQ(table.shard_elements(true), 0x1p78);
  }
}

TEST(Plan, KeepsRoomForTheLargestScratch) {
  for (const auto purpose : {Plan::Purpose::kTraining, Plan::Purpose::kInference}) {
    ParamTable table(1, 1, 0);
    Plan plan(table, purpose);
    EXPECT_EQ(plan.scratch_bytes(), 0);
    plan.Scratch(Plan::When::kForward, [] { return int64_t{10}; });
    plan.Scratch(Plan::When::kForward, [] { return int64_t{8}; });
    {
      const auto frozen = plan.As({.frozen = true});
      plan.Scratch(Plan::When::kBackward, [] { return int64_t{99}; });
    }
    plan.CachedScratch([](int64_t capacity) { return 2 * capacity; });
    plan.CachedScratch([](int64_t) { return int64_t{50}; });
    EXPECT_EQ(plan.scratch_bytes(), 10);
    plan.Scratch(Plan::When::kBackward, [] { return int64_t{40}; });
    EXPECT_EQ(plan.scratch_bytes(), purpose == Plan::Purpose::kTraining ? 40 : 10);
    EXPECT_EQ(plan.cached_scratch_bytes(20), 50);
    EXPECT_EQ(plan.cached_scratch_bytes(30), 60);
  }
}

}  // namespace
}  // namespace tl
