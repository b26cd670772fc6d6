// SPDX-License-Identifier: Apache-2.0
#include "comm/nccl_api.h"

#include <dlfcn.h>

#include "device/cuda_library.h"

namespace tl::nccl {
namespace {

constexpr int kOldest = 21400;  // the first with communicators that do not block

Library LoadLibrary() {
  Library out;
  const bool linked = dlsym(RTLD_DEFAULT, "ncclGetVersion") != nullptr;
  cuda::Library found;
  if (!linked) found = cuda::FindLibrary("libnccl.so.2");
  out.path = linked ? "linked with the program" : found.path;
  out.absent = found.absent;
  if (!out.absent.empty()) return out;
  const auto load = [&](auto& member, const char* name) {
    void* const symbol = linked ? dlsym(RTLD_DEFAULT, name) : found.Symbol(name);
    member = reinterpret_cast<std::remove_reference_t<decltype(member)>>(symbol);
    if (symbol == nullptr && out.absent.empty())
      out.absent = out.path + " has no " + name + "; NCCL 2.14 or newer is needed";
  };
#define TL_NCCL_LOAD(name, ...) load(out.name, "nccl" #name);
  TL_NCCL_CALLS(TL_NCCL_LOAD)
#undef TL_NCCL_LOAD
  load(out.GetErrorString, "ncclGetErrorString");
  load(out.GetLastError, "ncclGetLastError");
  if (out.GetVersion != nullptr) out.GetVersion(&out.version);
  if (out.absent.empty() && out.version < kOldest)
    out.absent = out.path + " is NCCL " + VersionText(out.version) + "; 2.14 or newer is needed";
  return out;
}

}  // namespace

const Library& GetLibrary() {
  static const auto* library = new Library(LoadLibrary());
  return *library;
}

std::string ErrorText(Result result, Comm comm) {
  std::string text = GetLibrary().GetErrorString(result);
  const char* const more = GetLibrary().GetLastError(comm);
  if (more != nullptr && *more != '\0') text += " (" + std::string(more) + ")";
  return text;
}

std::string VersionText(int version) {
  return std::to_string(version / 10000) + "." + std::to_string(version % 10000 / 100) + "." +
         std::to_string(version % 100);
}

}  // namespace tl::nccl
