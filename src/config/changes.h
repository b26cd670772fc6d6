// SPDX-License-Identifier: Apache-2.0
// What a training that goes on from a checkpoint has changed in its config since the save.
#pragma once

#include <string>
#include <vector>

#include "config/config.h"
#include "config/table.h"

namespace tl {

struct ConfigChange {
  const ConfigKey* key;
  std::string now, before;  // as TOML
};

struct ConfigChanges {
  Config before;                  // keys that cannot be read there are as they are now
  std::vector<ConfigChange> all;  // by section and name

  // Those that mean this. kModel: also kModelIfNotZero where neither value is 0.
  std::vector<ConfigChange> Of(AtResume what) const;
};

// before: a resolved config, as a checkpoint keeps it. Keys that it does not have, or that this
// version does not know, are no change, nor are those that neither of the two uses
// ([model.rope_scaling] of factor 1).
ConfigChanges FindChanges(const ConfigTable& table, const Config& now, const std::string& before);

// "[train] sequence_length = 512, was 256; ..."
std::string Describe(const std::vector<ConfigChange>& changes);

}  // namespace tl
