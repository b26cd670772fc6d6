// SPDX-License-Identifier: Apache-2.0
// Operations of a warp: each lane posts its operands, the last to come executes for all.
#include "tests/simt/device_side.h"
#include "tests/simt/machine.h"
#include "tests/simt/ptx.h"
#include "tests/simt/tensor_core.h"

namespace tl::simt {

uint3 ThreadIndex() { return g_thread->index; }
uint3 BlockIndex() { return g_block.index; }
uint3 BlockShape() { return g_block.shape; }
uint3 GridShape() { return g_block.grid; }
int Lane() { return g_thread->lane(); }

void SyncWarp(uint32_t mask) {
  const int warp = g_thread->warp();
  Meet("__syncwarp", mask, nullptr, __builtin_return_address(0),
       [warp](Meeting& m) { OrderWarp(warp, m.mask); });
}

namespace {

struct ShuffleLane {
  uint64_t bits;
  uint64_t result;
  int source;
};

struct BallotLane {
  bool predicate;
  uint32_t result;
};

}  // namespace

uint64_t Shuffle(uint32_t mask, uint64_t bits, int source_lane) {
  ShuffleLane self{bits, 0, source_lane};
  void* const site = __builtin_return_address(0);
  Meet("__shfl_sync", mask, &self, site, [site](Meeting& m) {
    for (int lane = 0; lane < kWarp; ++lane) {
      if ((m.mask >> lane & 1) == 0) continue;
      auto& to = *static_cast<ShuffleLane*>(m.operand[lane]);
      if ((m.mask >> to.source & 1) == 0)
        Fail("lane " + std::to_string(lane) + " shuffles from lane " + std::to_string(to.source) +
                 ", which takes no part",
             site);
      to.result = static_cast<ShuffleLane*>(m.operand[to.source])->bits;
    }
  });
  return self.result;
}

uint32_t Ballot(uint32_t mask, bool predicate) {
  BallotLane self{predicate, 0};
  Meet("__ballot_sync", mask, &self, __builtin_return_address(0), [](Meeting& m) {
    uint32_t result = 0;
    for (int lane = 0; lane < kWarp; ++lane)
      if (m.mask >> lane & 1)
        result |= uint32_t{static_cast<BallotLane*>(m.operand[lane])->predicate} << lane;
    for (int lane = 0; lane < kWarp; ++lane)
      if (m.mask >> lane & 1) static_cast<BallotLane*>(m.operand[lane])->result = result;
  });
  return self.result;
}

uint64_t Atomic(void* address, size_t bytes, uint64_t (*update)(uint64_t, uint64_t),
                uint64_t operand) {
  CheckAccess(address, bytes, Access::kAtomic, __builtin_return_address(0));
  uint64_t old = 0;
  std::memcpy(&old, address, bytes);
  const uint64_t now = update(old, operand);
  std::memcpy(address, &now, bytes);
  return old;
}

}  // namespace tl::simt

namespace tl::cuda::ptx {
namespace {

using simt::kWarp;
using simt::Meeting;

constexpr uint32_t kAll = 0xffffffffu;

struct MmaLane {
  float* d;
  const uint32_t* a;
  const uint32_t* b;
};

float FromBf16(uint32_t half) { return simt::FromBits<float>(uint64_t{half} << 16); }
float FromFp16(uint32_t half) { return __half2float(simt::FromBits<__half>(half)); }

uint32_t Half(uint32_t pair, int i) { return i == 0 ? pair & 0xffffu : pair >> 16; }

// Calls f(row, column, sum) for every element of d, in the lane that has it.
template <class F>
void ForEachSum(Meeting& m, const F& f) {
  for (int lane = 0; lane < kWarp; ++lane) {
    const auto& x = *static_cast<MmaLane*>(m.operand[lane]);
    const int g = lane / 4, t = lane % 4;
    for (int i = 0; i < 4; ++i) f(g + i / 2 * 8, 2 * t + i % 2, x.d[i]);
  }
}

void MultiplyTruncated(Meeting& m, const float (&a)[16][16], const float (&b)[16][8],
                       int smallest_exponent) {
  float columns[8][16];
  for (int k = 0; k < 16; ++k)
    for (int column = 0; column < 8; ++column) columns[column][k] = b[k][column];
  ForEachSum(m, [&](int row, int column, float& sum) {
    sum = simt::TensorCoreSum(sum, a[row], columns[column], smallest_exponent);
  });
}

// Spells the manual's fragments out: gathers a and b as matrices, multiplies, hands d back.
void Multiply(Meeting& m, float (*value)(uint32_t), int smallest_exponent) {
  float a[16][16], b[16][8];
  for (int lane = 0; lane < kWarp; ++lane) {
    const auto& x = *static_cast<MmaLane*>(m.operand[lane]);
    const int g = lane / 4, t = lane % 4;
    for (int i = 0; i < 2; ++i) {
      a[g][2 * t + i] = value(Half(x.a[0], i));
      a[g + 8][2 * t + i] = value(Half(x.a[1], i));
      a[g][2 * t + 8 + i] = value(Half(x.a[2], i));
      a[g + 8][2 * t + 8 + i] = value(Half(x.a[3], i));
      b[2 * t + i][g] = value(Half(x.b[0], i));
      b[2 * t + 8 + i][g] = value(Half(x.b[1], i));
    }
  }
  if (simt::CurrentMmaSums() == simt::MmaSums::kTruncated)
    return MultiplyTruncated(m, a, b, smallest_exponent);
  // Each sum in the order of k, columns side by side so that they can be vectors.
  float product[16][8] = {};
  for (int row = 0; row < 16; ++row)
    for (int k = 0; k < 16; ++k)
      for (int column = 0; column < 8; ++column) product[row][column] += a[row][k] * b[k][column];
  ForEachSum(m, [&](int row, int column, float& sum) { sum += product[row][column]; });
}

void LoadMatrices(const char* name, uint32_t* r, bool transposed, const void* row, void* site) {
  constexpr int kMatrices = 4;
  struct Row {
    uint32_t* r;
    const void* row;
  } self{r, row};
  if (!simt::IsShared(row)) simt::Fail(std::string(name) + " from memory that is not shared", site);
  if (reinterpret_cast<uintptr_t>(row) % 16 != 0)
    simt::Fail(std::string(name) + " from a row that is not 16-byte aligned", site);
  simt::CheckAccess(row, 16, simt::Access::kRead, site);
  simt::Meet(name, kAll, &self, site, [transposed](Meeting& m) {
    for (int i = 0; i < kMatrices; ++i) {
      uint16_t x[8][8];
      for (int j = 0; j < 8; ++j)
        std::memcpy(x[j], static_cast<Row*>(m.operand[8 * i + j])->row, 16);
      for (int lane = 0; lane < kWarp; ++lane) {
        const int g = lane / 4, t = lane % 4;
        const uint32_t low = transposed ? x[2 * t][g] : x[g][2 * t];
        const uint32_t high = transposed ? x[2 * t + 1][g] : x[g][2 * t + 1];
        static_cast<Row*>(m.operand[lane])->r[i] = high << 16 | low;
      }
    }
  });
}

void NeedWholeWarp(const char* name, void* site) {
  if (simt::g_block.warp[simt::g_thread->warp()].exists != kAll)
    simt::Fail(std::string(name) + " in a warp of fewer than 32 lanes", site);
}

}  // namespace

void LdMatrixX4(uint32_t (&r)[4], const void* row) {
  NeedWholeWarp("ldmatrix.x4", __builtin_return_address(0));
  LoadMatrices("ldmatrix.x4", r, false, row, __builtin_return_address(0));
}
void LdMatrixX4Trans(uint32_t (&r)[4], const void* row) {
  NeedWholeWarp("ldmatrix.x4.trans", __builtin_return_address(0));
  LoadMatrices("ldmatrix.x4.trans", r, true, row, __builtin_return_address(0));
}

void MmaBf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  MmaLane self{d, a, b};
  NeedWholeWarp("mma.bf16", __builtin_return_address(0));
  simt::Meet("mma.bf16", kAll, &self, __builtin_return_address(0),
             [](Meeting& m) { Multiply(m, FromBf16, -126); });
}

void MmaFp16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  MmaLane self{d, a, b};
  NeedWholeWarp("mma.fp16", __builtin_return_address(0));
  simt::Meet("mma.fp16", kAll, &self, __builtin_return_address(0),
             [](Meeting& m) { Multiply(m, FromFp16, -14); });
}

}  // namespace tl::cuda::ptx
