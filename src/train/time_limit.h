// SPDX-License-Identifier: Apache-2.0
// When to stop so that a save still fits into the time that a job has. Time counts from the start
// of the program.
//   stop at the end of a step if  now + slowest turn + 1.5 x last save >= limit
// A turn is all that happens from the end of one step to the end of the next: data, the step,
// evaluations and periodic saves. Until there was a save it is taken to last a twentieth of the
// limit, 60 s at most.
#pragma once

#include "base/duration.h"

namespace tl {

class TimeLimit {
 public:
  explicit TimeLimit(Duration limit) : limit_(limit.seconds) {}  // 0: none

  // At the end of every step, and once before the first; now: seconds since the program's start.
  void TurnEnds(double now);
  void Saved(double seconds) { save_ = seconds; }
  bool Reached(double now) const;

 private:
  double limit_;
  double last_ = -1.0;
  double slowest_ = 0.0;
  double save_ = -1.0;
};

double SecondsSinceStart();

}  // namespace tl
