// SPDX-License-Identifier: Apache-2.0
#include "train/provenance.h"

#include <omp.h>
#include <oneapi/dnnl/dnnl.h>

#include "absl/strings/str_cat.h"
#include "base/version.h"
#include "comm/host.h"
#include "device/cuda.h"
#include "engine/placement.h"
#include "train/machine.h"

namespace tl {

std::map<std::string, std::string> ReadProvenance(const Config& config, const Mesh& mesh,
                                                  Device device) {
  const dnnl_version_t* dnnl = dnnl_version();
  return {{"program", kVersion},
          {"device", device.type == DeviceType::kCpu ? Describe(ReadCpuInfo()) : Describe(device)},
          {"libraries", absl::StrCat("oneDNN ", dnnl->major, ".", dnnl->minor, ".", dnnl->patch,
                                     ", ", MpiVersion())},
          {"threads", absl::StrCat(omp_get_max_threads())},
          {"grid", absl::StrCat(mesh.data_size(), " x ", mesh.tensor_size())},
          {"precision", Name(config.precision.compute)}};
}

std::string Differences(const std::map<std::string, std::string>& now,
                        const std::map<std::string, std::string>& before) {
  std::string text;
  for (const auto& [key, value] : now) {
    const auto it = before.find(key);
    const std::string was = it == before.end() ? "unknown" : it->second;
    if (was != value)
      absl::StrAppend(&text, text.empty() ? "" : "; ", key, " ", value, ", was ", was);
  }
  return text;
}

}  // namespace tl
