#include "device/cuda_library.h"

#include <dlfcn.h>
#include <glob.h>
#include <link.h>

#include <cstdlib>
#include <vector>

#include "device/cuda.h"

namespace tl::cuda {
namespace {

std::vector<std::string> Glob(const std::string& pattern) {
  std::vector<std::string> out;
  glob_t found;
  if (glob(pattern.c_str(), 0, nullptr, &found) == 0)
    out.assign(found.gl_pathv, found.gl_pathv + found.gl_pathc);
  globfree(&found);
  return out;
}

// Where the loader does not look by itself.
std::vector<std::string> Patterns() {
  std::vector<std::string> patterns;
  std::vector<std::string> toolkits;
  for (const char* variable : {"CUDA_HOME", "CUDA_PATH"}) {
    if (const char* root = std::getenv(variable)) toolkits.push_back(root);
  }
  toolkits.insert(toolkits.end(), {"/usr/local/cuda", "/usr/local/cuda-*"});
  for (const std::string& root : toolkits) {
    for (const char* folder : {"/lib64/", "/lib/"}) patterns.push_back(root + folder);
  }
  std::vector<std::string> pythons;
  if (const char* root = std::getenv("VIRTUAL_ENV"))
    pythons.push_back(std::string(root) + "/lib/python3*/site-packages");
  if (const char* root = std::getenv("CONDA_PREFIX"))
    pythons.push_back(std::string(root) + "/lib/python3*/site-packages");
  if (const char* home = std::getenv("HOME"))
    pythons.push_back(std::string(home) + "/.local/lib/python3*/site-packages");
  for (const char* root :
       {"/usr/local/lib/python3*", "/usr/lib/python3*", "/opt/conda/lib/python3*"})
    pythons.push_back(std::string(root) + "/*-packages");
  for (const std::string& python : pythons) patterns.push_back(python + "/nvidia/*/lib/");
  return patterns;
}

std::string PathOf(void* handle) {
  link_map* map = nullptr;
  return dlinfo(handle, RTLD_DI_LINKMAP, &map) == 0 ? map->l_name : "";
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
  for (const std::string& pattern : Patterns()) {
    for (const std::string& path : Glob(pattern + soname)) {
      if (open(path)) {
        library.absent.clear();
        return library;
      }
      if (const char* why = dlerror()) library.absent = why;
    }
  }
  library.absent +=
      "; looked in the loader's paths (LD_LIBRARY_PATH), CUDA_HOME, /usr/local/cuda and Python's "
      "nvidia wheels";
  return library;
}

const Library& CublasLtLibrary() {
  static const auto* library =
      new Library(FindLibrary("libcublasLt.so." + std::to_string(GetPlatform().toolkit / 1000)));
  return *library;
}

}  // namespace tl::cuda
