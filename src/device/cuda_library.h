// SPDX-License-Identifier: Apache-2.0
// CUDA's libraries beyond the runtime, found when first asked for: by the loader, in a toolkit, or
// in the Python wheels that bring them. The program starts without them.
#pragma once

#include <string>

namespace tl::cuda {

struct Library {
  void* handle = nullptr;
  std::string path;    // where it was found
  std::string absent;  // why it was not
  // Null where the library is absent or has no such symbol.
  void* Symbol(const char* name) const;
};

// Looks for e.g. "libcublasLt.so.13".
Library FindLibrary(const std::string& soname);
// Looks up, once, that of the toolkit's major version: the ABI the program was compiled for.
const Library& CublasLtLibrary();

}  // namespace tl::cuda
