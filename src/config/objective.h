// [objective]: what is trained on top of the trunk.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace tl {

enum class Curriculum : uint8_t { kNone, kForward, kReverse };
enum class HiddenTap : uint8_t { kFinalNorm, kStream };

struct ObjectiveConfig {
  std::string name = "next_token";

  int64_t heads = 0;            // independent_heads: with the main one; medusa: beside it
  std::vector<double> weights;  // independent_heads: of each head's loss; empty: all 1
  bool match_parameters = false;
  Curriculum curriculum = Curriculum::kNone;
  int64_t curriculum_steps = 0;  // 0: [train] steps

  int64_t depth = 0;  // sequential_mtp: modules
  bool share_weights = false;
  HiddenTap hidden = HiddenTap::kFinalNorm;
  bool detach_hidden = false;
  bool detach_shared = false;
  double lambda = 0.3;
  double lambda_late = 0.1;
  double late_after = 0.67;  // fraction of the steps

  bool freeze_trunk = false;  // sequential_mtp, medusa: the heads alone
  int64_t residual_layers = 1;
  bool own_unembedding = true;
  bool distill = false;
  double head_weight = 0.2;  // of the heads' losses together, stage 2; stage 1: 1
  double decay = 0.8;
  double lr_scale = 1.0;  // of the heads
  int64_t warmup_steps = 0;

  bool operator==(const ObjectiveConfig&) const = default;
};

// "none", "final_norm": the names in the config file.
const char* Name(Curriculum curriculum);
const char* Name(HiddenTap hidden);

}  // namespace tl
