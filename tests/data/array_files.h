// SPDX-License-Identifier: Apache-2.0
// Array files of a test's own, and files damaged on purpose.
#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "data/npy.h"
#include "tests/data/temp_folder.h"

namespace tl {

inline std::string WriteArrayBytes(const std::string& name, const std::string& bytes) {
  const std::string path = Folder() + "/" + name;
  std::ofstream file(path, std::ios::binary);
  file << bytes;
  EXPECT_TRUE(file.flush());
  return path;
}

// A .npy file of version 1 with any text for a header.
inline std::string NpyBytes(const std::string& dict, const std::string& data = "") {
  std::string bytes("\x93NUMPY\x01\x00", 8);
  bytes += static_cast<char>(dict.size() & 0xff);
  bytes += static_cast<char>(dict.size() >> 8);
  return bytes + dict + data;
}

// An IDX file of unsigned bytes.
inline std::string IdxBytes(const std::vector<uint32_t>& shape, const std::string& data,
                            int type = 8) {
  std::string bytes = {0, 0, static_cast<char>(type), static_cast<char>(shape.size())};
  for (const uint32_t length : shape)
    for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(length >> shift & 0xff);
  return bytes + data;
}

template <typename T>
std::string RawBytes(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

template <typename T>
std::string WriteNpy(const std::string& name, ArrayType type, const std::vector<int64_t>& shape,
                     const std::vector<T>& values) {
  return WriteArrayBytes(name, NpyHeader(type, shape) + RawBytes(values));
}

inline void ExpectContains(const absl::Status& status, const std::vector<std::string>& parts) {
  ASSERT_FALSE(status.ok());
  for (const std::string& part : parts)
    EXPECT_NE(std::string(status.message()).find(part), std::string::npos)
        << "expected \"" << part << "\" in: " << status.message();
}

}  // namespace tl
