// SPDX-License-Identifier: Apache-2.0
#include "config/table.h"

#include <iterator>

#include "config/config.h"

namespace tl {

ConfigTable::ConfigTable(ConfigSection objective) {
  for (ConfigSection& section : std::vector<ConfigSection>{
           ModelSection(), RopeScalingSection(), std::move(objective), DataSection(),
           ParallelSection(), PrecisionSection(), TrainSection(), OptimizerSection(),
           CheckpointSection(), RunSection()}) {
    sections_.emplace_back(section.name, section.doc);
    std::move(section.keys.begin(), section.keys.end(), std::back_inserter(keys_));
  }
}

const ConfigKey* ConfigTable::Find(const std::string& full_name) const {
  for (const ConfigKey& key : keys_) {
    if (full_name == key.full_name()) return &key;
  }
  return nullptr;
}

const std::string* ConfigTable::SectionDoc(const std::string& section) const {
  for (const auto& [name, doc] : sections_) {
    if (section == name) return &doc;
  }
  return nullptr;
}

}  // namespace tl
