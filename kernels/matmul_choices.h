// SPDX-License-Identifier: Apache-2.0
// What cuBLASLt offers for the products that were made. It is for people to read and compare:
// Matmul takes the first of its own list, whatever the others are timed at, so that a layout of
// ranks repeats to the bit.
#pragma once

#include <array>
#include <vector>

#include "kernels/matmul.h"

namespace tl {

// How parts of a sum that are made side by side meet; the values are those of cuBLASLt's masks.
enum class Reduction : uint8_t {
  kNone = 0,         // one part
  kInPlace = 1,      // in C and its type, one after the other
  kComputeType = 2,  // in fp32 beside C, rounded once
  kOutputType = 4    // in C's type beside C
};
const char* Name(Reduction reduction);

struct MatmulChoice {
  std::array<uint64_t, 8> algorithm = {};  // cuBLASLt's own
  size_t workspace = 0;                    // bytes of scratch
  // Where it was first met: a mask of reductions, and the place in what cuBLASLt lists for it.
  uint32_t mask = 0;
  int place = 0;
  int id = 0, tile = 0, parts = 1;
  Reduction reduction = Reduction::kNone;
};

// A product that was made: one for each set of shapes, strides, types and alignments.
struct MatmulMade {
  MatmulArgs args;                   // without data; beta is 0 or 1
  std::array<int64_t, 3> alignment;  // bytes, of a, b and c: 1 to kMatmulAlignment
  int64_t calls = 0;                 // so far, of the first choice
  std::vector<MatmulChoice> choices;
};

// Lists the products made on the stream's device so far in the order of their first calls; none on
// a CPU, where there is no choice. Choices are at most `most` of the mask that Matmul asks with,
// its own first, then those of the mask of all reductions that are not among them.
struct MatmulChoicesArgs {
  std::vector<MatmulMade>* made;
  int most = 8;
};
TL_DECLARE_OP(MatmulChoices);

}  // namespace tl
