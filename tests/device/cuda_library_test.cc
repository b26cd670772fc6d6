// SPDX-License-Identifier: Apache-2.0
// Where CUDA's libraries are found: made-up trees with a copy of a small library under the name
// that is looked for.
#include "device/cuda_library.h"

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <link.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "tests/data/temp_folder.h"

namespace tl::cuda {
namespace {

namespace fs = std::filesystem;

// A library that any process has.
std::string SomeLibrary() {
  Dl_info info;
  EXPECT_NE(dladdr(reinterpret_cast<void*>(static_cast<double (*)(double)>(std::cbrt)), &info), 0);
  return info.dli_fname;
}

class CudaLibrary : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* variable : {"VIRTUAL_ENV", "CONDA_PREFIX", "CUDA_HOME", "CUDA_PATH"})
      ASSERT_EQ(unsetenv(variable), 0);
    const char* test = testing::UnitTest::GetInstance()->current_test_info()->name();
    root_ = fs::canonical(Folder()) / test;
    soname_ = "libtrunkline_" + std::string(test) + ".so.7";
    ASSERT_EQ(setenv("HOME", root_.c_str(), 1), 0);
    SetPath("/nowhere");
  }
  void SetPath(const std::string& path) { ASSERT_EQ(setenv("PATH", path.c_str(), 1), 0); }
  // An executable that fails when it is run: nobody should.
  void MakePython(const fs::path& path) {
    fs::create_directories(path.parent_path());
    std::ofstream(path) << "#!/bin/false\n";
    fs::permissions(path, fs::perms::owner_all);
  }
  // root_/folder/soname_
  fs::path MakeLibrary(const std::string& folder) {
    const fs::path path = root_ / folder / soname_;
    fs::create_directories(path.parent_path());
    fs::copy_file(SomeLibrary(), path);
    return path;
  }
  void ExpectFound(const fs::path& path) {
    const Library library = FindLibrary(soname_);
    EXPECT_NE(library.handle, nullptr);
    EXPECT_EQ(library.path, path.string());
    EXPECT_EQ(library.absent, "");
    EXPECT_NE(library.Symbol("cbrt"), nullptr);
    EXPECT_EQ(library.Symbol("not_there"), nullptr);
  }

  fs::path root_;
  std::string soname_;
};

TEST_F(CudaLibrary, InAVirtualEnvironmentOnPathInTheLayoutOfCuda12) {
  MakePython(root_ / "system/bin/python3.12");
  fs::create_directories(root_ / "venv/bin");
  fs::create_symlink(root_ / "system/bin/python3.12", root_ / "venv/bin/python3");
  const fs::path path = MakeLibrary("venv/lib/python3.12/site-packages/nvidia/cublas/lib");
  EXPECT_EQ(FindLibrary(soname_).handle, nullptr) << "before it is on PATH";
  SetPath("/nowhere::" + (root_ / "venv/bin").string() + ":/usr/bin");
  ExpectFound(path);
}

TEST_F(CudaLibrary, BehindALinkOnPathInTheLayoutOfCuda13) {
  MakePython(root_ / "python/bin/python3.13");
  fs::create_directories(root_ / "links");
  fs::create_symlink("../python/bin/python3.13", root_ / "links/python3");
  const fs::path path = MakeLibrary("python/lib/python3.13/site-packages/nvidia/cu13/lib");
  SetPath((root_ / "links").string());
  ExpectFound(path);
}

TEST_F(CudaLibrary, InDebiansDistPackages) {
  MakePython(root_ / "usr/bin/python3");
  const fs::path path = MakeLibrary("usr/lib/python3/dist-packages/nvidia/nccl/lib");
  SetPath((root_ / "usr/bin").string());
  ExpectFound(path);
}

TEST_F(CudaLibrary, AToolkitComesBeforeWheels) {
  MakePython(root_ / "bin/python3");
  MakeLibrary("lib64/python3.9/site-packages/nvidia/cu13/lib");
  SetPath((root_ / "bin").string());
  const fs::path path = MakeLibrary("toolkit/lib64");
  ASSERT_EQ(setenv("CUDA_HOME", (root_ / "toolkit").c_str(), 1), 0);
  ExpectFound(path);
}

// A file that is no library is passed over for one that is, and named where there is none.
TEST_F(CudaLibrary, SaysWhereItLookedAndWhy) {
  MakePython(root_ / "bin/python3");
  SetPath((root_ / "bin").string());
  const fs::path packages = root_ / "lib/python3.11/site-packages";
  fs::create_directories(packages / "nvidia/cublas/lib");
  Library library = FindLibrary(soname_);
  EXPECT_EQ(library.handle, nullptr);
  EXPECT_EQ(library.Symbol("cbrt"), nullptr);
  for (const std::string& part : {soname_, std::string("LD_LIBRARY_PATH"), packages.string()})
    EXPECT_NE(library.absent.find(part), std::string::npos) << library.absent;

  const fs::path broken = packages / "nvidia/cublas/lib" / soname_;
  std::ofstream(broken) << "not a library\n";
  library = FindLibrary(soname_);
  EXPECT_EQ(library.handle, nullptr);
  EXPECT_NE(library.absent.find(broken.string()), std::string::npos) << library.absent;

  ExpectFound(MakeLibrary("lib/python3.11/site-packages/nvidia/cu13/lib"));
}

}  // namespace
}  // namespace tl::cuda
