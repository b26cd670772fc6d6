// SPDX-License-Identifier: Apache-2.0
#include "device/cuda_library.h"

#include <dlfcn.h>
#include <glob.h>
#include <link.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <sstream>
#include <system_error>
#include <vector>

#include "device/cuda.h"

namespace tl::cuda {
namespace {

// The folders that fit the patterns, each once.
std::vector<std::string> Find(const std::vector<std::string>& patterns) {
  std::vector<std::string> folders;
  for (const std::string& pattern : patterns) {
    glob_t found;
    if (glob(pattern.c_str(), GLOB_ONLYDIR, nullptr, &found) == 0) {
      for (size_t i = 0; i < found.gl_pathc; ++i) {
        std::error_code error;
        const std::string folder = std::filesystem::canonical(found.gl_pathv[i], error).string();
        if (!error && std::find(folders.begin(), folders.end(), folder) == folders.end())
          folders.push_back(folder);
      }
    }
    globfree(&found);
  }
  return folders;
}

// The first python3 on PATH; "" where there is none. It is looked at and not started.
std::string PythonOnPath() {
  const char* path = std::getenv("PATH");
  std::stringstream folders(path == nullptr ? "" : path);
  for (std::string folder; std::getline(folders, folder, ':');) {
    const std::string python = folder + "/python3";
    if (!folder.empty() && access(python.c_str(), X_OK) == 0) return python;
  }
  return "";
}

// Where Pythons keep packages.
std::vector<std::string> PackageFolders() {
  std::vector<std::string> patterns;
  const auto add = [&](const std::string& root) {
    patterns.push_back(root + "/lib*/python3*/*-packages");
  };
  // A virtual environment's python3 is a link out of it: both ends have packages.
  if (const std::string python = PythonOnPath(); !python.empty()) {
    add(std::filesystem::path(python).parent_path().string() + "/..");
    std::error_code error;
    const std::filesystem::path end = std::filesystem::canonical(python, error);
    if (!error) add(end.parent_path().parent_path().string());
  }
  for (const char* variable : {"VIRTUAL_ENV", "CONDA_PREFIX"}) {
    if (const char* root = std::getenv(variable)) add(root);
  }
  if (const char* home = std::getenv("HOME")) add(std::string(home) + "/.local");
  for (const char* root : {"/usr/local", "/usr", "/opt/conda"}) add(root);
  return Find(patterns);
}

// Where the loader does not look by itself: toolkits, then nvidia's wheels among the packages,
// whose libraries lie in nvidia/cublas/lib (CUDA 12) or nvidia/cu13/lib.
std::vector<std::string> Folders(const std::vector<std::string>& packages) {
  std::vector<std::string> toolkits;
  for (const char* variable : {"CUDA_HOME", "CUDA_PATH"}) {
    if (const char* root = std::getenv(variable)) toolkits.emplace_back(root);
  }
  toolkits.insert(toolkits.end(), {"/usr/local/cuda", "/usr/local/cuda-*"});
  std::vector<std::string> patterns;
  for (const std::string& root : toolkits)
    patterns.insert(patterns.end(), {root + "/lib64", root + "/lib"});
  for (const std::string& folder : packages) patterns.push_back(folder + "/nvidia/*/lib");
  return Find(patterns);
}

std::string PathOf(void* handle) {
  link_map* map = nullptr;
  return dlinfo(handle, RTLD_DI_LINKMAP, static_cast<void*>(&map)) == 0 ? map->l_name : "";
}

}  // namespace

void* Library::Symbol(const char* name) const {
  return handle == nullptr ? nullptr : dlsym(handle, name);
}

Library FindLibrary(const std::string& soname) {
  Library library;
  const auto open = [&](const std::string& path) {
    library.handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library.handle != nullptr) library.path = PathOf(library.handle);
    return library.handle != nullptr;
  };
  if (open(soname)) return library;
  const char* error = dlerror();
  library.absent = error == nullptr ? soname : error;
  const std::vector<std::string> packages = PackageFolders();
  for (const std::string& folder : Folders(packages)) {
    const std::string path = folder + "/" + soname;
    if (access(path.c_str(), F_OK) != 0) continue;
    if (open(path)) {
      library.absent.clear();
      return library;
    }
    if (const char* why = dlerror()) library.absent = why;
  }
  library.absent +=
      "; looked in the loader's paths (LD_LIBRARY_PATH), CUDA_HOME, /usr/local/cuda and nvidia's "
      "wheels in";
  for (const std::string& folder : packages) library.absent += " " + folder;
  if (packages.empty()) library.absent += " no Python that was found";
  return library;
}

const Library& CublasLtLibrary() {
  static const auto* library =
      new Library(FindLibrary("libcublasLt.so." + std::to_string(GetPlatform().toolkit / 1000)));
  return *library;
}

}  // namespace tl::cuda
