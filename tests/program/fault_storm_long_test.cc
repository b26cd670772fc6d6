// SPDX-License-Identifier: Apache-2.0
// At least 200 faults; see fault_storm.h.
#include "tests/program/fault_storm.h"

#include "tests/data/temp_folder.h"

namespace tl {
namespace {

TEST(FaultStorm, NoGoodCheckpointIsLostAndNoWrongOneIsUsed) {
  FaultStorm storm(Folder(), /*seed=*/2);
  storm.Run(200);
  storm.PrintTally();
}

}  // namespace
}  // namespace tl
