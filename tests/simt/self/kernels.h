// SPDX-License-Identifier: Apache-2.0
// Small kernels for the machine's own tests: each right with Fault::kNone, or wrong in one named
// way.
#pragma once

#include "kernels/cuda/ptx.h"

namespace tl::cuda {

enum class Fault {
  kNone,
  kNoBarrier,        // the one that guards a first read
  kNoSecondBarrier,  // the one that guards a buffer's reuse
  kNoWait,
  kWaitTooFew,
  kNeverWaits,
  kMisaligned,
  kWrongFragment,
  kDiverges,
  kLaneGone,
  kThreadGone,
  kWrongBarrier,
  kOverrun,
  kUnderrun,
  kUnwritten,
  kHostPointer
};

// One block each.
void SumBlock(Stream& stream, const float* x128, float* sum4, Fault fault);
void ReverseTwice(Stream& stream, float* x128, Fault fault);
// y = x + 1 for four chunks of 128 through two buffers that cp.async fills ahead.
void Pipeline(Stream& stream, const float* x512, float* y512, Fault fault);
// d = a b: a [16, 16] and b [16, 8] bf16 by rows, d [16, 8]; fragments by ldmatrix, or by hand.
void Product(Stream& stream, const __nv_bfloat16* a, const __nv_bfloat16* b, float* d,
             bool ldmatrix, Fault fault);
void ProductFp16(Stream& stream, const __half* a, const __half* b, float* d);
// y[i] = x[i ^ 1] through shared memory in one warp, ordered by __syncwarp.
void SwapPairs(Stream& stream, const float* x32, float* y32, Fault fault);
// Warp 0 writes, warp 1 reads, by the named barrier 1; warps 2 and 3 take no part.
void HandOver(Stream& stream, const float* x32, float* y32, Fault fault);
// Sums of each half of a warp, counted by ballots of halves.
void SumHalves(Stream& stream, const float* x32, float* y2, Fault fault);
// Counts the threads of `blocks` blocks of `threads` in shared memory, then in device memory.
void Count(Stream& stream, int blocks, int threads, int* count);
// y[i] = x[i] for n floats, in vectors of four from x + skew where n is a multiple of four.
void CopyFloats(Stream& stream, const float* x, float* y, int n, int skew, Fault fault);
void AddOne(Stream& stream, float* x, int n);
const void* AddOneKernelOf();  // as a kernel of the runtime
// y[i] = x[i stride] through shared memory, in one warp, i at word i stride of it.
void Strided(Stream& stream, const float* x, float* y32, int stride);
// x[block] = 1 + x[block - 1], each block waiting for the last; kNoWait: for one that never comes.
void Chain(Stream& stream, float* x, int* flags, int blocks, Fault fault);

}  // namespace tl::cuda
