// SPDX-License-Identifier: Apache-2.0
// What decides the bits of a training beside its config and its data.
#pragma once

#include <map>
#include <string>

#include "comm/mesh.h"
#include "config/config.h"
#include "device/device.h"

namespace tl {

// "program", "device", "libraries", "threads", "grid", "precision".
std::map<std::string, std::string> ReadProvenance(const Config& config, const Mesh& mesh,
                                                  Device device);
// "threads 2, was 4; grid ..."; empty where nothing differs.
std::string Differences(const std::map<std::string, std::string>& now,
                        const std::map<std::string, std::string>& before);

}  // namespace tl
