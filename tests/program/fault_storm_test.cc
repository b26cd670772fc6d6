// SPDX-License-Identifier: Apache-2.0
// At least 20 faults; see fault_storm.h.
#include "tests/program/fault_storm.h"

#include "tests/data/temp_folder.h"

namespace tl {
namespace {

TEST(FaultStorm, NoGoodCheckpointIsLostAndNoWrongOneIsUsed) {
  FaultStorm storm(Folder(), /*seed=*/1);
  storm.Run(20);
  storm.PrintTally();
}

}  // namespace
}  // namespace tl
