#include "engine/validate.h"

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/check.h"
#include "base/status.h"
#include "config/rules.h"
#include "engine/placement.h"
#include "objective/config.h"
#include "objective/objective.h"

namespace tl {
namespace {

// What the config format has a name for but this build does not have.
absl::Status ValidateAvailable(const Config& c) {
  if (c.run.device == "cuda")
    TL_RETURN_IF_ERROR(PlaceRank(c.run.device, "staged", {}, UsablePlatform()).status());
  if (c.run.device != "cpu" && c.run.device != "auto" && c.run.device != "cuda") {
    return absl::InvalidArgumentError(absl::StrCat("[run] device = \"", c.run.device,
                                                   "\": expected \"auto\", \"cpu\" or \"cuda\""));
  }
  if (c.optimizer.name != "adamw") {
    return absl::UnimplementedError(absl::StrCat("[optimizer] name = \"", c.optimizer.name,
                                                 "\": this build has only \"adamw\""));
  }
  return absl::OkStatus();
}

absl::Status ValidateObjective(const Config& c) {
  const ObjectiveConfig& o = c.objective;
  const std::string names = ObjectiveNames();
  const std::vector<std::string> known = absl::StrSplit(names, ", ");
  if (std::find(known.begin(), known.end(), o.name) == known.end()) {
    return absl::InvalidArgumentError(
        absl::StrCat("[objective] name = \"", o.name, "\": expected one of ", names));
  }
  TL_RETURN_IF_ERROR(Validate(o));
  if (HeadCount(o) > c.train.sequence_length) {
    return absl::InvalidArgumentError(absl::StrCat(
        "[objective] name = \"", o.name, "\" predicts ", HeadCount(o),
        " tokens ahead: expected at most [train] sequence_length = ", c.train.sequence_length));
  }
  if (o.match_parameters && o.heads >= c.model.layers) {
    return absl::InvalidArgumentError(absl::StrCat(
        "[objective] match_parameters takes heads = ", o.heads, " blocks from [model] layers = ",
        c.model.layers, ": expected to leave at least 1 in the trunk"));
  }
  if (o.freeze_trunk && c.run.init_from.empty()) {
    return absl::InvalidArgumentError(
        "[objective] freeze_trunk = true trains heads on a trunk that stays as it is: give [run] "
        "init_from, the run folder of a trained one");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status Validate(const Config& c, int ranks) {
  TL_CHECK(ranks >= 1) << "ranks " << ranks;
  TL_RETURN_IF_ERROR(Validate(c.model));
  TL_RETURN_IF_ERROR(ValidateAvailable(c));
  TL_RETURN_IF_ERROR(ValidateGrid(c, ranks));
  TL_RETURN_IF_ERROR(ValidateBatch(c, ranks));
  TL_RETURN_IF_ERROR(ValidateObjective(c));
  TL_RETURN_IF_ERROR(ValidateSchedule(c));
  return ValidatePrecision(c.precision);
}

}  // namespace tl
