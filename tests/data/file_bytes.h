// SPDX-License-Identifier: Apache-2.0
// Reads and writes whole files.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

namespace tl {

inline std::string Read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.good()) << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

inline void Write(const std::string& path, const std::string& bytes) {
  std::filesystem::remove(path);  // overwriting makes ext4 write to the disk at once
  std::ofstream(path, std::ios::binary) << bytes;
}

}  // namespace tl
