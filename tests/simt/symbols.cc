// SPDX-License-Identifier: Apache-2.0
#include "tests/simt/symbols.h"

#include <cxxabi.h>
#include <fcntl.h>
#include <link.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <span>
#include <string_view>

namespace tl::simt {
namespace {

// The program's file, kept mapped.
struct Table {
  std::span<const Elf64_Sym> symbols;
  const char* names = nullptr;

  Table() {
    const int file = open("/proc/self/exe", O_RDONLY);
    struct stat status;
    if (file < 0 || fstat(file, &status) != 0) std::abort();
    void* const memory =
        mmap(nullptr, static_cast<size_t>(status.st_size), PROT_READ, MAP_PRIVATE, file, 0);
    if (memory == MAP_FAILED) std::abort();
    close(file);
    const auto* const begin = static_cast<const char*>(memory);
    const auto* const header = reinterpret_cast<const Elf64_Ehdr*>(begin);
    const std::span sections(reinterpret_cast<const Elf64_Shdr*>(begin + header->e_shoff),
                             header->e_shnum);
    for (const Elf64_Shdr& section : sections) {
      if (section.sh_type != SHT_SYMTAB) continue;
      symbols = {reinterpret_cast<const Elf64_Sym*>(begin + section.sh_offset),
                 section.sh_size / sizeof(Elf64_Sym)};
      names = begin + sections[section.sh_link].sh_offset;
    }
  }
};

// Calls f(symbol, its name, the number of the file that it is local to).
template <class F>
void ForSymbols(F&& f) {
  static const auto* table = new Table;
  int file = 0;
  for (const Elf64_Sym& symbol : table->symbols) {
    if (ELF64_ST_TYPE(symbol.st_info) == STT_FILE) ++file;
    const bool local = ELF64_ST_BIND(symbol.st_info) == STB_LOCAL;
    f(symbol, table->names + symbol.st_name, local ? file : 0);
  }
}

}  // namespace

uintptr_t LoadAddress() {
  uintptr_t address = 0;
  dl_iterate_phdr(
      [](dl_phdr_info* info, size_t, void* out) {
        *static_cast<uintptr_t*>(out) = info->dlpi_addr;
        return 1;  // the program itself comes first
      },
      &address);
  return address;
}

const std::vector<SharedArray>& SharedArrays() {
  static const auto* arrays = [] {
    auto* out = new std::vector<SharedArray>;
    ForSymbols([&](const Elf64_Sym& symbol, const char* name, int file) {
      if (ELF64_ST_TYPE(symbol.st_info) == STT_TLS && symbol.st_shndx != SHN_UNDEF)
        out->push_back({name, file, symbol.st_value, symbol.st_size});
    });
    std::sort(out->begin(), out->end(),
              [](const SharedArray& a, const SharedArray& b) { return a.offset < b.offset; });
    return out;
  }();
  return *arrays;
}

FunctionSymbol FindFunction(const void* code) {
  const uintptr_t address = reinterpret_cast<uintptr_t>(code) - LoadAddress();
  FunctionSymbol found;
  ForSymbols([&](const Elf64_Sym& symbol, const char* name, int file) {
    if (ELF64_ST_TYPE(symbol.st_info) == STT_FUNC && symbol.st_shndx != SHN_UNDEF &&
        symbol.st_value == address)
      found = {name, file};
  });
  return found;
}

// _Z f names a function, _ZZ f E x a variable in it, _ZZZ f E .. E x one in a lambda of it.
bool Declares(const FunctionSymbol& function, const SharedArray& array) {
  if (function.file != array.file || !function.symbol.starts_with("_Z")) return false;
  std::string_view name = array.symbol;
  if (!name.starts_with("_ZZ")) return false;
  name.remove_prefix(name.find_first_not_of('Z', 1));
  const std::string_view encoding = std::string_view(function.symbol).substr(2);
  return name.starts_with(encoding) && name.substr(encoding.size()).starts_with('E');
}

std::string Demangled(const std::string& symbol) {
  int status = 0;
  char* const text = abi::__cxa_demangle(symbol.c_str(), nullptr, nullptr, &status);
  std::string out = text != nullptr ? text : symbol;
  std::free(text);
  return out;
}

}  // namespace tl::simt
