// SPDX-License-Identifier: Apache-2.0
// Models with sequential modules whose drafts are often right and often wrong.
#pragma once

#include <string>
#include <vector>

#include "objective/sequential_mtp.h"
#include "tests/infer/model_rig.h"
#include "tests/model/cases.h"

namespace tl {

struct MtpCase {
  std::string name;
  ObjectiveConfig objective;
};

inline std::vector<MtpCase> MtpCases() {
  std::vector<MtpCase> cases;
  for (const char* name : {"one", "three", "shared", "stream"}) {
    ObjectiveConfig objective;
    objective.name = "sequential_mtp";
    objective.Set("depth", std::string(name) == "one" ? 1 : 3);
    objective.Set("share_weights", std::string(name) == "shared");
    if (std::string(name) == "stream") objective.Set("hidden", HiddenTap::kStream);
    cases.push_back({name, objective});
  }
  return cases;
}

// Trunk and modules alike guess from the token before, and blocks that differ change their minds at
// times: residual branches are weak, and a module's projection lets the embedding through.
inline reference::Params MtpParams(const ModelConfig& model, const ObjectiveConfig& objective) {
  reference::Params params = RandomParams(model, DType::kF32, objective);
  const auto ends = [](const std::string& name, const std::string& end) {
    return name.size() >= end.size() &&
           name.compare(name.size() - end.size(), end.size(), end) == 0;
  };
  const auto hidden = static_cast<size_t>(model.hidden);
  for (auto& [name, values] : params) {
    const bool branch = ends(name, ".attention.out.weight") || ends(name, ".mlp.down.weight");
    const bool projection = ends(name, ".projection.weight");
    for (double& value : values) value *= branch ? 0.12 : projection ? 0.2 : 1.0;
    for (size_t i = 0; i < hidden && projection; ++i) values[i * 2 * hidden + hidden + i] += 1.0;
    if (ends(name, ".embedding_norm.weight")) values.assign(hidden, 1.0);
    if (name.rfind("mtp.", 0) == 0 && ends(name, ".final_norm.weight"))
      values = params.at("final_norm.weight");
  }
  return params;
}

inline std::unique_ptr<LanguageModel> MakeMtpModel(const ModelConfig& model,
                                                   const ObjectiveConfig& objective, DType compute,
                                                   const DecodeLimits& limits, Mesh& mesh) {
  auto made = MakeModel(model, compute, limits, mesh, 0.0, objective);
  SetWeights(*made, MtpParams(model, objective));
  return made;
}

}  // namespace tl
