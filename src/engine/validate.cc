// SPDX-License-Identifier: Apache-2.0
#include "engine/validate.h"

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status.h"
#include "config/rules.h"
#include "engine/placement.h"
#include "objective/descriptor.h"

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

}  // namespace

absl::Status Validate(const Config& c, int ranks) {
  TL_CHECK(ranks >= 1) << "ranks " << ranks;
  TL_RETURN_IF_ERROR(Validate(c.model));
  TL_RETURN_IF_ERROR(ValidateAvailable(c));
  TL_RETURN_IF_ERROR(ValidateValues(c));
  TL_RETURN_IF_ERROR(ValidateGrid(c, ranks));
  TL_RETURN_IF_ERROR(ValidateBatch(c, ranks));
  TL_RETURN_IF_ERROR(ValidateObjective(c));
  TL_RETURN_IF_ERROR(ValidateSchedule(c));
  return ValidatePrecision(c.precision);
}

}  // namespace tl
