// SPDX-License-Identifier: Apache-2.0
// What the program's own symbol table tells of kernels: their names, and the __shared__ arrays that
// they declare, which are thread-locals here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace tl::simt {

struct SharedArray {
  std::string symbol;
  int file = 0;       // that declares it, 0 where any may
  size_t offset = 0;  // in the program's thread-local storage
  size_t bytes = 0;
};

// Of the program, by offset.
const std::vector<SharedArray>& SharedArrays();

struct FunctionSymbol {
  std::string symbol;  // empty where it is not known
  int file = 0;
};
FunctionSymbol FindFunction(const void* code);

// Whether the array is declared in the function's body. Those of functions that it calls are not.
bool Declares(const FunctionSymbol& function, const SharedArray& array);

std::string Demangled(const std::string& symbol);

// Where the program's code was loaded.
uintptr_t LoadAddress();

}  // namespace tl::simt
