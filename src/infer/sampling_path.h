// SPDX-License-Identifier: Apache-2.0
// The noises that a sampler goes through, and the variable that it steps in: the process's own x_t
// by t, or x_hat by noise, where every process is the same.
#pragma once

#include <cstdint>
#include <vector>

#include "infer/samplers.h"
#include "objective/process.h"

namespace tl {

enum class PathVariable : uint8_t { kOwn, kHat };

struct PathPoint {
  double t;
  Marginal at;
};

class SamplingPath {
 public:
  // `steps` points from the most noise down. By kTime an interpolant goes down to its data, of
  // which the last step is one; others end at TimeRange::sample. spacing: not kOwn.
  SamplingPath(const Process& process, PathVariable variable, Spacing spacing, double rho,
               int64_t steps);

  const std::vector<PathPoint>& points() const { return points_; }
  // At any noise.
  PathPoint AtNoise(double noise) const;

 private:
  const Process& process_;
  PathVariable variable_;
  std::vector<PathPoint> points_;
};

}  // namespace tl
