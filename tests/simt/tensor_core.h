// SPDX-License-Identifier: Apache-2.0
// Sums of products of 16-bit numbers as Hopper's tensor cores make them. Measured by Khattak and
// Mikaitis ("Accurate Models of NVIDIA Tensor Cores", arXiv 2512.07004, 2025) and by Xie et al.
// ("MMA-Sim", arXiv 2511.10909, 2025), who find the same with methods of Fasi, Higham, Mikaitis and
// Pranesh ("Numerical behavior of NVIDIA tensor cores", PeerJ CS 7:e330, 2021):
//  - products are exact, their exponent is the sum of the factors' exponents;
//  - a block of 16 products and what has been summed before are aligned to the largest exponent of
//    them and truncated towards zero behind its 25th fractional bit, two more than fp32 has;
//  - they are added exactly, not normalised in between, and truncated towards zero to fp32.
// Ampere differs: blocks of 8 and one bit less.
#pragma once

namespace tl::simt {

inline constexpr int kBlockProducts = 16;

// sum + a_0 b_0 + ... + a_15 b_15. smallest_exponent: of the factors' type, -126 or, for fp16, -14.
float TensorCoreSum(float sum, const float* a, const float* b, int smallest_exponent);

}  // namespace tl::simt
