// SPDX-License-Identifier: Apache-2.0
// The objectives with several heads that tests go through.
#pragma once

#include <string>
#include <vector>

#include "tests/model/cases.h"
#include "tests/reference/objectives.h"

namespace tl {

struct ObjectiveCase {
  std::string name;
  ObjectiveConfig objective;
  bool tied = true;
};

inline std::vector<ObjectiveCase> ObjectiveCases() {
  const auto heads = [](int64_t n) {
    ObjectiveConfig o;
    o.name = "independent_heads";
    o.Set("heads", n);
    return o;
  };
  const auto mtp = [](int64_t depth) {
    ObjectiveConfig o;
    o.name = "sequential_mtp";
    o.Set("depth", depth);
    return o;
  };
  const auto medusa = [](int64_t n) {
    ObjectiveConfig o;
    o.name = "medusa";
    o.Set("heads", n);
    return o;
  };
  std::vector<ObjectiveCase> cases = {{"OneHead", heads(1)},
                                      {"FourHeads", heads(4), false},
                                      {"MatchedHeads", heads(1)},
                                      {"Mtp", mtp(2)},
                                      {"MtpUntied", mtp(1), false},
                                      {"MtpShared", mtp(3)},
                                      {"MtpStream", mtp(2)},
                                      {"MtpDetached", mtp(2)},
                                      {"MtpDetachedStream", mtp(1)},
                                      {"MtpFrozen", mtp(2)},
                                      {"MtpFrozenStream", mtp(2), false},
                                      {"Medusa", medusa(2)},
                                      {"MedusaDeep", medusa(2), false},
                                      {"MedusaFrozen", medusa(3)},
                                      {"MedusaFrozenShared", medusa(2)},
                                      {"MedusaFrozenDistill", medusa(3)},
                                      {"MedusaFrozenSharedDistill", medusa(2), false},
                                      {"MedusaDistill", medusa(2)}};
  for (ObjectiveCase& c : cases) {
    ObjectiveConfig& o = c.objective;
    if (c.name == "MatchedHeads") o.Set("match_parameters", true);
    if (c.name == "MtpShared") o.Set("share_weights", true);
    if (c.name.rfind("Mtp", 0) == 0 && c.name.find("Stream") != std::string::npos)
      o.Set("hidden", HiddenTap::kStream);
    if (c.name == "MtpDetached") o.Set("detach_hidden", true), o.Set("detach_shared", true);
    if (c.name == "MtpDetachedStream") o.Set("detach_hidden", true);
    if (c.name == "MedusaDeep") o.Set("residual_layers", 2);
    o.Set("freeze_trunk", c.name.find("Frozen") != std::string::npos);
    if (c.name.rfind("MedusaFrozenShared", 0) == 0) o.Set("own_unembedding", false);
    o.Set("distill", c.name.find("Distill") != std::string::npos);
  }
  return cases;
}

}  // namespace tl
