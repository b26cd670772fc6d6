// SPDX-License-Identifier: Apache-2.0
// The manifest's parser and the reader behind it, on anything. The input is a manifest without its
// checksum, which is put behind it here, so that the fuzzer gets past it. What parses is opened
// as a checkpoint whose files are there with the sizes that it says, where they are small, and
// read.
//   build/tests/manifest_fuzz -max_total_time=600 -rss_limit_mb=512 -max_len=8192 SCRATCH \
//       tests/fuzz/manifest
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "base/crc32c.h"
#include "checkpoint/reader.h"

namespace tl {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMostBytes = 1 << 16;

// In memory where the system has a folder there.
const std::string& Scratch() {
  static const auto* path = [] {
    const std::string base = fs::exists("/dev/shm") ? "/dev/shm" : "/tmp";
    auto* name = new std::string(base + "/manifest_fuzz." + std::to_string(getpid()));
    fs::create_directories(*name);
    std::atexit([] { fs::remove_all(Scratch()); });
    return name;
  }();
  return *path;
}

void ReadAll(const Manifest& manifest, const std::string& text) {
  for (const FileRecord& file : manifest.files) {
    if (file.bytes > kMostBytes) return;
  }
  for (const auto& entry : fs::directory_iterator(Scratch())) fs::remove_all(entry.path());
  std::ofstream(Scratch() + "/manifest.json") << text;
  for (const FileRecord& file : manifest.files) {
    const std::string path = Scratch() + "/" + file.name;
    std::ofstream(path).close();
    fs::resize_file(path, static_cast<uintmax_t>(file.bytes));
  }
  const auto reader = CheckpointReader::Open(Scratch());
  if (!reader.ok()) return;
  (*reader)->VerifyFiles([](const std::string&) {}).IgnoreError();
  for (size_t i = 0; i < manifest.tensors.size(); ++i) {
    const Shape& shape = manifest.tensors[i].shape;
    std::vector<float> values(static_cast<size_t>(shape.elements()));
    (*reader)
        ->ReadFloats(static_cast<int>(i), Box::Whole(shape), 0, shape.elements(), values.data())
        .IgnoreError();
  }
}

}  // namespace
}  // namespace tl

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string text(reinterpret_cast<const char*>(data), size);
  if (const size_t tail = text.rfind(",\"crc32c\":\""); tail != std::string::npos)
    text.resize(tail);
  absl::StrAppendFormat(&text, ",\"crc32c\":\"%08x\"}\n", tl::Crc32c(text.data(), text.size()));
  const auto manifest = tl::ParseManifest(text, "manifest.json");
  if (manifest.ok()) tl::ReadAll(*manifest, text);
  return 0;
}
