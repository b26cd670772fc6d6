// SPDX-License-Identifier: Apache-2.0
// Machine code for the architectures that the build promises is in the program: the fat binaries in
// it are walked, and where there is cuobjdump, its list is compared.
#include <cstdint>
#include <cstring>
#include <map>
#include <set>

#include "tests/program/job.h"

namespace tl {
namespace {

struct FatHeader {
  uint32_t magic;
  uint16_t version, header_bytes;
  uint64_t bytes;  // of what follows
};
struct EntryHeader {
  uint16_t kind;  // 1: PTX, 2: machine code
  uint16_t unused;
  uint32_t header_bytes;
  uint64_t bytes;
  uint32_t more[3];
  uint32_t architecture;
};
static_assert(sizeof(FatHeader) == 16 && offsetof(EntryHeader, architecture) == 28);
constexpr uint32_t kMagic = 0xBA55ED50;
enum { kPtx = 1, kMachineCode = 2 };

// How often each kind is there for each architecture.
std::map<std::pair<int, int>, int> FatEntries(const std::string& program) {
  std::map<std::pair<int, int>, int> found;
  const std::string magic(reinterpret_cast<const char*>(&kMagic), sizeof(kMagic));
  size_t at = 0;
  while ((at = program.find(magic, at)) != std::string::npos) {
    FatHeader fat{};
    if (at + sizeof(fat) > program.size()) break;
    std::memcpy(&fat, &program[at], sizeof(fat));
    const size_t begin = at + sizeof(fat);
    if (fat.header_bytes != sizeof(fat) || fat.bytes > program.size() - begin) {
      at += sizeof(kMagic);  // the same four bytes by chance
      continue;
    }
    at = begin + fat.bytes;
    for (size_t entry = begin; entry + sizeof(EntryHeader) <= at;) {
      EntryHeader header;
      std::memcpy(&header, &program[entry], sizeof(header));
      ++found[{header.kind, static_cast<int>(header.architecture)}];
      entry += header.header_bytes + header.bytes;
    }
  }
  return found;
}

class Cubins : public testing::Test {
 protected:
  void SetUp() override {
#if !defined(TL_WITH_CUDA)
    GTEST_SKIP() << "a build without CUDA";
#endif
  }
  int Entries(int kind, int architecture) const {
    const auto it = entries_.find({kind, architecture});
    return it == entries_.end() ? 0 : it->second;
  }
  const std::map<std::pair<int, int>, int> entries_ =
      FatEntries(ReadFile(TL_BINARY_DIR "/trunkline"));
};

TEST_F(Cubins, AreThereForEachArchitecture) {
  EXPECT_GT(Entries(kMachineCode, 80), 5);
  // Every source for both, and what later GPUs can compile.
  EXPECT_EQ(Entries(kMachineCode, 80), Entries(kMachineCode, 90));
  EXPECT_EQ(Entries(kPtx, 90), Entries(kMachineCode, 90));
}

TEST_F(Cubins, AreThoseThatCuobjdumpLists) {
  if (RunShell("command -v cuobjdump", 10).exit_code != 0) GTEST_SKIP() << "no cuobjdump";
  const Outcome list = RunShell("cuobjdump --list-elf '" TL_BINARY_DIR "/trunkline'", 60);
  EXPECT_EQ(Count(list.output, "sm_80.cubin"), Entries(kMachineCode, 80)) << list.output;
  EXPECT_EQ(Count(list.output, "sm_90.cubin"), Entries(kMachineCode, 90)) << list.output;
}

}  // namespace
}  // namespace tl
