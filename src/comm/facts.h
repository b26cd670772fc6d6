// SPDX-License-Identifier: Apache-2.0
// What all ranks of a command must have alike before they work together.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "comm/communicator.h"

namespace tl {

struct Fact {
  std::string what;        // "[optimizer] lr", the same on all ranks
  std::string value;       // "0.001"
  std::string where = {};  // told beside `what`, not compared: a path
  std::string also = {};   // another spelling of the value, which may be the same instead; or none
};

// What a fact is that only one of two ranks has: another than on rank 0, or no difference.
enum class Absence : uint8_t { kDiffers, kAllowed };

// Refuses on all ranks (FailedPrecondition) a fact that is another on rank 0: the error names the
// fact, both values and both hosts. Collective.
absl::Status AgreeOnFacts(Communicator& world, absl::Span<const Fact> mine,
                          Absence absence = Absence::kDiffers);

// Compares the program's version and the command, which fit 100 bytes or are cut, and those
// of the environment variables that change what libraries compute. Comes before all else, with
// messages whose size never changes: other versions may differ in everything. Collective.
absl::Status AgreeOnProgram(Communicator& world, absl::string_view version,
                            absl::string_view command);

}  // namespace tl
