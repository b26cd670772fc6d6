// SPDX-License-Identifier: Apache-2.0
// Which noise a sample is trained at: a function of the seed and the sample's number.
//
// Points in (0, 1) come from a Kronecker sequence (a golden ratio's multiples) with an offset of
// the seed's. Any run of samples is spread evenly over the times, whatever the batch and the grid:
// Kingma et al.'s low-discrepancy sampler (VDM, NeurIPS 2021) without a word of the batch. Over
// seeds every sample's point is uniform, so that the loss is unbiased.
#pragma once

#include <cstdint>

#include "objective/process.h"

namespace tl {

// Returns the point of a sample: frac(offset / 2^64 + k phi). offset: StreamKey's.
double KroneckerPoint(uint64_t offset, int64_t sample);

// Maps a point to a noise between noise_min and noise_max of the process:
//   uniform     even in t
//   lognormal   ln noise ~ N(p_mean, p_std^2)
//   likelihood  even in ln noise
//   ladder      one of `levels` levels, each as often
double TrainingNoise(const Process& process, TrainingTimes times, double point);

// Level i = 0, 1, .. of `levels` > 1, geometric from noise_max down to noise_min (Song & Ermon
// 2019).
double LadderNoise(const Process& process, int64_t levels, int64_t i);

}  // namespace tl
