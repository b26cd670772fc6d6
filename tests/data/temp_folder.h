// SPDX-License-Identifier: Apache-2.0
// A folder of the test's own, gone when the test program ends.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <string>

namespace tl {

inline const std::string& Folder() {
  struct Temporary {
    std::string path = ::testing::TempDir() + "tl_data_test." + std::to_string(::getpid());
    Temporary() { std::filesystem::create_directories(path); }
    ~Temporary() { std::filesystem::remove_all(path); }
  };
  static const Temporary folder;
  return folder.path;
}

// A folder in it of the test's own.
inline std::string FolderOfTest() {
  const std::string path =
      Folder() + "/" + testing::UnitTest::GetInstance()->current_test_info()->name();
  std::filesystem::create_directories(path);
  return path;
}

}  // namespace tl
