// SPDX-License-Identifier: Apache-2.0
// An HDF5 file made in memory, so that the library never touches a real file: on a full disk it
// crashes (HDF5 1.10). All calls come from one thread at a time: the library is not thread-safe.
#pragma once

#include <hdf5.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/files.h"
#include "device/tensor.h"

namespace tl {

// Closes an HDF5 object.
class H5Handle {
 public:
  H5Handle(hid_t id, herr_t (*close)(hid_t)) : id_(id), close_(close) {}
  H5Handle(H5Handle&& other) noexcept : id_(std::exchange(other.id_, -1)), close_(other.close_) {}
  H5Handle& operator=(H5Handle&& other) noexcept {
    std::swap(id_, other.id_);
    std::swap(close_, other.close_);
    return *this;
  }
  ~H5Handle() {
    if (id_ >= 0) close_(id_);
  }
  operator hid_t() const { return id_; }

 private:
  hid_t id_;
  herr_t (*close_)(hid_t);
};

class Hdf5Image {
 public:
  // An empty file. Objects of so many bytes or more start at multiples of 4 KiB. path: that it will
  // have. most_bytes: an upper bound on its size; one above the limit on files of this process is
  // an error here, since the library crashes on that of a write, in memory too.
  static absl::StatusOr<Hdf5Image> Create(const std::string& path, int64_t align_from,
                                          int64_t most_bytes);
  Hdf5Image(Hdf5Image&& other) noexcept = default;

  hid_t file() const { return file_; }
  // Closes the HDF5 file, whose bytes are then complete.
  absl::Status Close();
  const File& bytes() const { return memory_; }

 private:
  Hdf5Image(File memory, hid_t file) : memory_(std::move(memory)), file_(file, H5Fclose) {}
  File memory_;
  H5Handle file_;
};

// Makes IEEE float, little-endian; bfloat16 and float16 as types that HDF5 converts to float.
H5Handle FloatType(DType dtype);
// Writes a list of integers as an attribute. False on an error.
bool SetAttribute(hid_t object, const char* name, const std::vector<int64_t>& values);
// Makes the property of links that makes the groups on the way.
H5Handle MakeGroups();
// Says "HDF5: cannot WHAT".
absl::Status Hdf5Error(const std::string& what);

}  // namespace tl
