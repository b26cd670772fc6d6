// SPDX-License-Identifier: Apache-2.0
#include "kernels/adamw.h"

#include "optim/optimizer.h"

namespace tl {
namespace {

constexpr char kMean[] = "m", kSquares[] = "v";

class AdamWOptimizer : public Optimizer {
 public:
  explicit AdamWOptimizer(const AdamWSettings& settings) : settings_(settings) {}
  std::vector<std::string> Roles(const Bucket& bucket) const override {
    if (!bucket.trainable) return {};
    std::vector<std::string> roles = {kMean, kSquares};
    if (settings_.average) roles.emplace_back(kAverageRole);
    return roles;
  }

  void Update(Stream& stream, ShardedState& state, Tensor grads, Weights& weights,
              const StepScalars* scalars) override {
    const bool low_precision = weights.flat.dtype != DType::kF32;
    const int mean = state.Find(kMean), squares = state.Find(kSquares);
    const int average = state.Find(kAverageRole);
    for (const Segment& s : state.segments()) {
      AdamW(stream,
            {.p = state.Master(s.flat, s.shard, s.size),
             .m = state.State(mean, s.shard, s.size),
             .v = state.State(squares, s.shard, s.size),
             .grad = grads.Slice(0, s.flat, s.flat + s.size),
             .weight = low_precision ? weights.flat.Slice(0, s.flat, s.flat + s.size) : Tensor{},
             .ema = average < 0 ? Tensor{} : state.State(average, s.shard, s.size),
             .scalars = scalars,
             .lr_scale = s.lr_scale,
             .beta1 = static_cast<float>(settings_.beta1),
             .beta2 = static_cast<float>(settings_.beta2),
             .eps = static_cast<float>(settings_.eps),
             .weight_decay = s.weight_decay,
             .head = s.head});
    }
  }

 private:
  AdamWSettings settings_;
};

}  // namespace

BucketRoles Optimizer::Roles(const ParamTable& table) const {
  BucketRoles roles;
  for (const Bucket& bucket : table.buckets()) roles.push_back(Roles(bucket));
  return roles;
}

absl::StatusOr<std::unique_ptr<Optimizer>> MakeOptimizer(const std::string& name,
                                                         const AdamWSettings& settings) {
  if (name == "adamw") return std::make_unique<AdamWOptimizer>(settings);
  return absl::InvalidArgumentError("[optimizer] name = \"" + name + "\": expected one of " +
                                    OptimizerNames());
}

std::string OptimizerNames() { return "adamw"; }

}  // namespace tl
