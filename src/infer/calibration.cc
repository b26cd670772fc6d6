// SPDX-License-Identifier: Apache-2.0
#include "infer/calibration.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/json.h"
#include "base/status.h"

namespace tl {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kFormat = "trunkline calibration 1";
constexpr int64_t kMostBytes = int64_t{16} << 20;

Json Milliseconds(const std::vector<double>& seconds) {
  Json list = Json::array();
  for (const double s : seconds) list.push_back(1e3 * s);
  return list;
}

// Reads members of an object, the first error kept.
class Reader {
 public:
  Reader(const nlohmann::json& json, std::string where) : json_(json), where_(std::move(where)) {}

  const absl::Status& status() const { return status_; }
  const nlohmann::json* Member(const char* key, nlohmann::json::value_t type,
                               const char* expected) {
    const auto it = json_.is_object() ? json_.find(key) : json_.end();
    const bool number = type == nlohmann::json::value_t::number_float;
    const bool good = it != json_.end() && (number ? it->is_number() : it->type() == type);
    if (good) return &*it;
    if (status_.ok())
      status_ = absl::InvalidArgumentError(absl::StrCat(
          where_, ": ", key, ": expected ", expected,
          it == json_.end() ? ", found nothing" : absl::StrCat(", found ", it->dump())));
    return nullptr;
  }
  std::string Text(const char* key) {
    const auto* value = Member(key, nlohmann::json::value_t::string, "a string");
    return value == nullptr ? "" : value->get<std::string>();
  }
  double Number(const char* key) {
    const auto* value = Member(key, nlohmann::json::value_t::number_float, "a number");
    return value == nullptr ? 0.0 : value->get<double>();
  }
  bool Bool(const char* key) {
    const auto* value = Member(key, nlohmann::json::value_t::boolean, "true or false");
    return value != nullptr && value->get<bool>();
  }
  // An integer from 0 up, of a size that nothing real exceeds.
  int64_t Count(const char* key) {
    const double value = Number(key);
    if (status_.ok() && !(value >= 0.0 && value <= 0x1p40 && value == std::floor(value)))
      status_ = absl::InvalidArgumentError(
          absl::StrCat(where_, ": ", key, ": expected a number of things, found ", value));
    return status_.ok() ? static_cast<int64_t>(value) : 0;
  }

 private:
  const nlohmann::json& json_;
  std::string where_;
  absl::Status status_;
};

absl::StatusOr<TreeShape> ParseTree(const nlohmann::json& list, const std::string& path) {
  std::vector<RankPath> paths;
  for (const nlohmann::json& item : list) {
    RankPath ranks;
    bool good = item.is_array();
    for (const nlohmann::json& rank : item) {
      good = good && rank.is_number_integer() && rank >= 0 && rank < 1 << 20;
      if (good) ranks.push_back(rank.get<int>());
    }
    if (!good)
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": tree: expected lists of ranks, found ", item.dump()));
    paths.push_back(std::move(ranks));
  }
  auto shape = TreeShape::FromPaths(paths);
  if (shape.ok()) return shape;
  return absl::InvalidArgumentError(absl::StrCat(path, ": tree: ", shape.status().message()));
}

}  // namespace

std::string CalibrationPath(const std::string& run_dir) { return run_dir + "/calibration.json"; }

const DrafterTrial* Calibration::Find(const std::string& drafter, bool with_tree) const {
  for (const DrafterTrial& trial : trials) {
    if (trial.drafter == drafter && trial.tree == with_tree) return &trial;
  }
  return nullptr;
}

const DrafterTrial& Calibration::Fastest() const {
  return *std::max_element(trials.begin(), trials.end(),
                           [](const DrafterTrial& a, const DrafterTrial& b) {
                             return a.tokens_per_second < b.tokens_per_second;
                           });
}

bool IsCalibration(absl::string_view begin) {
  return absl::StrContains(begin, "\"format\": \"trunkline calibration ");
}

std::string WriteCalibration(const Calibration& c) {
  Json json = {{"format", kFormat},     {"checkpoint", c.checkpoint}, {"compute", c.compute},
               {"tensor", c.tensor},    {"threads", c.threads},       {"tokens", c.tokens},
               {"heads", Json::array()}};
  for (const Calibration::Head& head : c.heads)
    json["heads"].push_back({{"reached", head.reached},
                             {"acceptance_by_rank", head.by_rank},
                             {"acceptance_in_chain", head.chain_alpha}});
  json["verify_ms"] = Milliseconds(c.costs.verify);
  json["draft_ms"] = Milliseconds(c.costs.draft);
  json["tree"] = Json::array();
  for (int node = 0; node < c.tree.size(); ++node) json["tree"].push_back(c.tree.Path(node));
  json["tree_acceptance"] = c.values;
  json["predicted_tau"] = c.predicted_tau;
  json["predicted_speedup"] = c.predicted_speedup;
  json["trials"] = Json::array();
  for (const DrafterTrial& trial : c.trials)
    json["trials"].push_back({{"drafter", trial.drafter},
                              {"tree", trial.tree},
                              {"drafts", trial.drafts},
                              {"tau", trial.tau},
                              {"tokens_per_second", trial.tokens_per_second}});
  json["fastest"] = c.Fastest().drafter;
  return json.dump(1) + "\n";
}

absl::StatusOr<Calibration> ParseCalibration(const std::string& text, const std::string& path) {
  TL_ASSIGN_OR_RETURN(const nlohmann::json json, ParseJson(text, path));
  Reader reader(json, path);
  const std::string format = reader.Text("format");
  if (reader.status().ok() && format != kFormat)
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": format: expected ", kFormat, ", found ", format));
  Calibration c;
  c.checkpoint = reader.Text("checkpoint");
  c.compute = reader.Text("compute");
  c.tensor = reader.Count("tensor");
  c.threads = reader.Count("threads");
  c.predicted_tau = reader.Number("predicted_tau");
  c.predicted_speedup = reader.Number("predicted_speedup");
  const auto* tree = reader.Member("tree", nlohmann::json::value_t::array, "a list of paths");
  const auto* trials = reader.Member("trials", nlohmann::json::value_t::array, "a list");
  TL_RETURN_IF_ERROR(reader.status());
  TL_ASSIGN_OR_RETURN(c.tree, ParseTree(*tree, path));
  for (const nlohmann::json& item : *trials) {
    Reader trial(item, path + ": trials");
    c.trials.push_back({.drafter = trial.Text("drafter"),
                        .tree = trial.Bool("tree"),
                        .drafts = trial.Count("drafts"),
                        .tau = trial.Number("tau"),
                        .tokens_per_second = trial.Number("tokens_per_second")});
    TL_RETURN_IF_ERROR(trial.status());
  }
  const DrafterTrial* plain = c.Find("none", false);
  if (plain == nullptr || !(plain->tokens_per_second > 0.0))
    return absl::InvalidArgumentError(path + ": trials: expected one of none, with its speed");
  return c;
}

absl::StatusOr<Calibration> ReadCalibration(const std::string& path) {
  TL_ASSIGN_OR_RETURN(const std::string text, ReadTextFile(path, kMostBytes));
  return ParseCalibration(text, path);
}

std::string Describe(const DrafterTrial& trial, double plain) {
  std::string text = trial.drafter;
  if (trial.tree) absl::StrAppendFormat(&text, " with a tree of %d", trial.drafts);
  if (trial.drafter == "heads" && !trial.tree)
    absl::StrAppendFormat(&text, " in a chain of %d", trial.drafts);
  absl::StrAppendFormat(&text, ": tau %.3f, %.1f tok/s, %.2fx plain", trial.tau,
                        trial.tokens_per_second, trial.tokens_per_second / plain);
  return text;
}

}  // namespace tl
