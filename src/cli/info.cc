// SPDX-License-Identifier: Apache-2.0
#include <absl/base/config.h>
#include <hwy/highway.h>
#include <spdlog/version.h>
#include <toml++/toml.h>
#include <CLI/Version.hpp>

#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/host_memory.h"
#include "base/status.h"
#include "base/version.h"
#include "cli/command.h"
#include "comm/host.h"
#include "comm/nccl_api.h"
#include "device/cuda.h"
#include "device/cuda_library.h"
#include "kernels/cpu_products.h"
#include "train/machine.h"
#include "train/progress.h"

namespace tl {
namespace {

// The best of the targets that our kernels are compiled for.
std::string HighwayTarget() {
  const auto targets = static_cast<uint64_t>(hwy::SupportedTargets()) & uint64_t{HWY_TARGETS};
  return hwy::TargetName(static_cast<int64_t>(targets & (~targets + 1)));
}

void Row(const std::string& name, const std::string& text) {
  absl::PrintF("  %-14s %s\n", name, text);
}

void PrintCuda() {
  const cuda::Platform& platform = cuda::GetPlatform();
  if (platform.devices.empty()) Row("cuda", "none: " + platform.absent);
  for (size_t i = 0; i < platform.devices.size(); ++i) {
    const cuda::DeviceInfo& device = platform.devices[i];
    Row(absl::StrCat("cuda:", i),
        absl::StrFormat("%s, compute capability %d.%d, %d multiprocessors, %s", device.name,
                        device.major, device.minor, device.processors,
                        HumanBytes(device.memory_bytes)));
  }
}

void PrintMachine() {
  const CpuInfo cpu = ReadCpuInfo();
  std::puts("devices");
  Row("cpu", absl::StrFormat("%s, %d core(s), %d thread(s) may be used", cpu.model, cpu.cores,
                             cpu.logical_cpus));
  PrintCuda();
  Row("instructions", cpu.isa.empty() ? "nothing beyond the base" : absl::StrJoin(cpu.isa, ", "));
  Row("memory", HumanBytes(AvailableMemory()) + " available");
  std::puts("precisions of the CPU");
  Row("fp32", "native");
  const CpuProducts& products = GetCpuProducts();
  Row("bf16", products.bf16 ? "native products, fp32 sums" : "native storage, products in fp32");
  Row("fp16", absl::StrCat("native storage, products in fp32",
                           products.fp16 ? "; oneDNN has fp16 products here, not used yet" : ""));
}

// 130100 is 13.1.0.
std::string CublasVersion(size_t version) {
  return absl::StrCat(version / 10000, ".", version % 10000 / 100, ".", version % 100);
}

void PrintLibraries() {
  std::puts("libraries");
  const CpuProducts& products = GetCpuProducts();
  Row("oneDNN", absl::StrCat(products.version, ", uses ", products.isa));
  Row("MPI", MpiVersion());
  const cuda::Platform& platform = cuda::GetPlatform();
  if (platform.toolkit > 0) {
    Row("CUDA",
        absl::StrCat(cuda::VersionText(platform.toolkit), ", ",
                     platform.driver > 0 ? "driver for up to " + cuda::VersionText(platform.driver)
                                         : "no driver"));
    const cuda::Library& blas = cuda::CublasLtLibrary();
    const auto version = reinterpret_cast<size_t (*)()>(blas.Symbol("cublasLtGetVersion"));
    Row("cuBLASLt",
        version != nullptr ? CublasVersion(version()) + ", " + blas.path : "none: " + blas.absent);
    const nccl::Library& nccl = nccl::GetLibrary();
    Row("NCCL", nccl.absent.empty() ? nccl::VersionText(nccl.version) + ", " + nccl.path
                                    : "none: " + nccl.absent);
  }
  Row("Highway", absl::StrFormat("%d.%d.%d, our kernels use %s", HWY_MAJOR, HWY_MINOR, HWY_PATCH,
                                 HighwayTarget()));
  Row("OpenMP", absl::StrCat(_OPENMP));
  Row("Abseil", absl::StrCat(ABSL_LTS_RELEASE_VERSION, ".", ABSL_LTS_RELEASE_PATCH_LEVEL));
  Row("toml++", absl::StrFormat("%d.%d.%d", TOML_LIB_MAJOR, TOML_LIB_MINOR, TOML_LIB_PATCH));
  Row("CLI11", CLI11_VERSION);
  Row("spdlog", absl::StrFormat("%d.%d.%d", SPDLOG_VER_MAJOR, SPDLOG_VER_MINOR, SPDLOG_VER_PATCH));
  Row("compiler", absl::StrCat("g++ ", __VERSION__));
}

}  // namespace

absl::Status RunInfo(const Args& args, Communicator& world) {
  Arguments arguments("info", "Devices, memory, native precisions, ranks and library versions.",
                      "  trunkline info\n"
                      "  mpirun -n 2 trunkline info     how ranks and threads are placed\n");
  TL_ASSIGN_OR_RETURN(const bool run, ParseOrShowHelp(arguments, args, world));
  if (!run) return absl::OkStatus();
  const int threads = SetThreads(0, world);
  const int local_ranks = LocalRanks(world);
  if (world.rank() != 0) return absl::OkStatus();
  absl::PrintF("trunkline %s\n", kVersion);
  PrintMachine();
  std::puts("ranks");
  Row("ranks",
      absl::StrFormat("%d%s on %s%s", world.size(),
                      local_ranks < world.size() ? absl::StrCat(", ", local_ranks, " of them") : "",
                      HostName(), LaunchedUnderMpi() ? "" : "; not started by mpirun or srun"));
  Row("threads", absl::StrCat(threads, " per rank"));
  PrintLibraries();
  return absl::OkStatus();
}

}  // namespace tl
