// SPDX-License-Identifier: Apache-2.0
// Any bytes as a .npy or IDX file: refused, or a shape that adds up. With as many numbers behind the
// header as it asks for they are a file that can be read whole, as pictures and as labels.
//   build/tests/array_fuzz -max_total_time=600 -rss_limit_mb=512 SCRATCH tests/fuzz/array
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "data/npy.h"
#include "data/picture_file.h"

namespace tl {
namespace {

constexpr int64_t kMostBytes = 1 << 10;

void Expect(bool condition) {
  if (!condition) std::abort();
}

// A file in memory.
class Bytes {
 public:
  explicit Bytes(const std::string& bytes) : fd_(memfd_create("input", 0)) {
    Expect(fd_ >= 0 &&
           write(fd_, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
  }
  ~Bytes() { close(fd_); }
  std::string path() const { return "/proc/self/fd/" + std::to_string(fd_); }

 private:
  int fd_;
};

void ReadAsPictures(const std::string& path, const ArrayHeader& header) {
  const PatchGrid grid{.channels = 1, .height = 1, .width = header.sample_values(), .patch = 1};
  const auto file = PictureFile::Open(path, "", grid, 0);
  const bool has_type = header.type == ArrayType::kU8 || header.type == ArrayType::kF32;
  const bool has_shape = header.shape.size() == 2 ||
                         (header.shape.size() == 3 && header.shape[1] == 1) ||
                         (header.shape.size() == 4 && header.shape[1] * header.shape[2] == 1);
  Expect(file.ok() == (has_type && has_shape));
  if (!file.ok()) return;
  std::vector<float> picture(static_cast<size_t>(grid.values()));
  std::vector<uint8_t> bytes(picture.size());
  for (int64_t n = 0; n < (*file)->count(); ++n) {
    if ((*file)->is_bytes()) {
      Expect((*file)->ReadBytes(n, bytes.data()).ok());
    } else {
      (*file)->ReadFloats(n, picture.data()).IgnoreError();
    }
  }
  (*file)->CheckSome(10).IgnoreError();
}

void ReadAsLabels(const std::string& path, const ArrayHeader& header) {
  constexpr int64_t kClasses = 100;
  const std::vector<int64_t> shape = {header.samples(), 1};
  const Bytes pictures(NpyHeader(ArrayType::kU8, shape) +
                       std::string(static_cast<size_t>(header.samples()), 'x'));
  const PatchGrid grid{};
  const auto file = PictureFile::Open(pictures.path(), path, grid, kClasses);
  if (!file.ok()) return Expect(!file.status().message().empty());
  Expect(header.shape.size() == 1 && header.type != ArrayType::kF32);
  for (int64_t n = 0; n < (*file)->count(); ++n) {
    const auto label = (*file)->ReadLabel(n);
    Expect(label.ok() && *label >= 0 && *label < kClasses);
  }
}

void Try(const std::string& input) {
  const auto header = ParseArrayHeader(input.substr(0, kMostArrayHeader), "file");
  const auto opened = ArrayFile::Open(Bytes(input).path());
  if (!header.ok()) {
    Expect(!opened.ok() && !header.status().message().empty());
    return;
  }
  Expect(opened.ok() == (header->file_bytes() == static_cast<int64_t>(input.size())));
  Expect(header->data_at <= static_cast<int64_t>(input.size()));
  const std::string written = NpyHeader(header->type, header->shape);
  const auto again = ParseArrayHeader(written, "again");
  Expect(again.ok() && again->type == header->type && again->shape == header->shape &&
         again->data_at == static_cast<int64_t>(written.size()));
  if (header->file_bytes() > kMostBytes) return;
  std::string whole = input;
  whole.resize(static_cast<size_t>(header->file_bytes()), '\x7f');
  const Bytes file(whole);
  ReadAsPictures(file.path(), *header);
  ReadAsLabels(file.path(), *header);
}

}  // namespace
}  // namespace tl

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  tl::Try(std::string(reinterpret_cast<const char*>(data), size));
  return 0;
}
