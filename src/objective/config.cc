#include "objective/config.h"

#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status.h"
#include "kernels/step_scalars.h"

namespace tl {
namespace {

absl::Status Invalid(const std::string& message) { return absl::InvalidArgumentError(message); }

// Keys that were given another value than their default, with the objectives they belong to.
struct Foreign {
  const char* key;
  bool changed;
  std::vector<const char*> owners;
};

std::vector<Foreign> Keys(const ObjectiveConfig& c) {
  const ObjectiveConfig d;
  const auto heads = "independent_heads", mtp = "sequential_mtp", medusa = "medusa";
  return {{"heads", c.heads != d.heads, {heads, medusa}},
          {"weights", c.weights != d.weights, {heads}},
          {"match_parameters", c.match_parameters != d.match_parameters, {heads}},
          {"curriculum", c.curriculum != d.curriculum, {heads}},
          {"curriculum_steps", c.curriculum_steps != d.curriculum_steps, {heads}},
          {"depth", c.depth != d.depth, {mtp}},
          {"share_weights", c.share_weights != d.share_weights, {mtp}},
          {"hidden", c.hidden != d.hidden, {mtp}},
          {"detach_hidden", c.detach_hidden != d.detach_hidden, {mtp}},
          {"detach_shared", c.detach_shared != d.detach_shared, {mtp}},
          {"lambda", c.lambda != d.lambda, {mtp}},
          {"lambda_late", c.lambda_late != d.lambda_late, {mtp}},
          {"late_after", c.late_after != d.late_after, {mtp}},
          {"freeze_trunk", c.freeze_trunk != d.freeze_trunk, {mtp, medusa}},
          {"residual_layers", c.residual_layers != d.residual_layers, {medusa}},
          {"own_unembedding", c.own_unembedding != d.own_unembedding, {medusa}},
          {"distill", c.distill != d.distill, {medusa}},
          {"head_weight", c.head_weight != d.head_weight, {medusa}},
          {"decay", c.decay != d.decay, {medusa}},
          {"lr_scale", c.lr_scale != d.lr_scale, {medusa}},
          {"warmup_steps", c.warmup_steps != d.warmup_steps, {medusa}}};
}

absl::Status CheckCount(const char* key, int64_t value, int64_t most, const std::string& name) {
  if (value >= 1 && value <= most) return absl::OkStatus();
  return Invalid(absl::StrCat("[objective] ", key, " = ", value, ": \"", name,
                              "\" expects a number from 1 to ", most));
}

}  // namespace

absl::Status Validate(const ObjectiveConfig& c) {
  for (const Foreign& key : Keys(c)) {
    bool mine = false;
    for (const std::string owner : key.owners) mine |= owner == c.name;
    if (key.changed && !mine) {
      return Invalid(absl::StrCat("[objective] ", key.key, " is a key of ",
                                  absl::StrJoin(key.owners, " and "), ", not of name = \"", c.name,
                                  "\""));
    }
  }
  if (c.name == "independent_heads") {
    TL_RETURN_IF_ERROR(CheckCount("heads", c.heads, kMaxHeads, c.name));
    if (!c.weights.empty() && static_cast<int64_t>(c.weights.size()) != c.heads) {
      return Invalid(absl::StrCat("[objective] weights has ", c.weights.size(),
                                  " numbers: expected one for each of heads = ", c.heads));
    }
    if (c.curriculum_steps > 0 && c.curriculum == Curriculum::kNone) {
      return Invalid(absl::StrCat("[objective] curriculum_steps = ", c.curriculum_steps,
                                  ": expected a curriculum, \"forward\" or \"reverse\""));
    }
  } else if (c.name == "sequential_mtp") {
    TL_RETURN_IF_ERROR(CheckCount("depth", c.depth, kMaxHeads - 1, c.name));
  } else if (c.name == "medusa") {
    TL_RETURN_IF_ERROR(CheckCount("heads", c.heads, kMaxHeads - 1, c.name));
    if (c.freeze_trunk && c.head_weight != ObjectiveConfig().head_weight) {
      return Invalid(absl::StrCat("[objective] head_weight = ", c.head_weight,
                                  ": there is no other loss to weigh against with freeze_trunk"));
    }
  }
  return absl::OkStatus();
}

int HeadCount(const ObjectiveConfig& c) {
  if (c.name == "independent_heads") return static_cast<int>(c.heads);
  if (c.name == "sequential_mtp") return static_cast<int>(c.depth) + 1;
  if (c.name == "medusa") return static_cast<int>(c.heads) + 1;
  return 1;
}

int64_t TrunkLayers(const ObjectiveConfig& c, int64_t layers) {
  return c.match_parameters ? layers - c.heads : layers;
}

}  // namespace tl
