// SPDX-License-Identifier: Apache-2.0
// Any bytes as a safetensors file: refused, or every tensor can be read.
//   build/tests/safetensors_fuzz -max_total_time=600 -rss_limit_mb=512 SCRATCH
//   tests/fuzz/safetensors
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "checkpoint/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const int fd = memfd_create("input", 0);
  if (fd < 0 || write(fd, data, size) != static_cast<ssize_t>(size)) std::abort();
  const auto reader = tl::SafetensorsReader::Open("/proc/self/fd/" + std::to_string(fd));
  if (reader.ok()) {
    int64_t bytes = 0;
    for (const tl::TensorInfo& tensor : (*reader)->tensors()) {
      bytes += tensor.bytes;
      const auto elements = tensor.bytes / static_cast<int64_t>(tl::SizeOf(tensor.dtype));
      std::vector<float> values(static_cast<size_t>(elements));
      const absl::Status status = (*reader)->Read(tensor, 0, elements, values.data());
      const bool has_floats = tensor.dtype == tl::DType::kF32 || tensor.dtype == tl::DType::kBF16 ||
                              tensor.dtype == tl::DType::kF16;
      if (status.ok() != has_floats) std::abort();
      if (*(*reader)->Find(tensor.name) != &tensor) std::abort();
    }
    if (bytes > static_cast<int64_t>(size)) std::abort();
  } else if (reader.status().message().empty()) {
    std::abort();
  }
  close(fd);
  return 0;
}
