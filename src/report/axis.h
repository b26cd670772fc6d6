// SPDX-License-Identifier: Apache-2.0
// Where numbers lie along an axis, and at which of them it has ticks.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace tl {

// How a number is written.
enum class Unit : uint8_t {
  kPlain,    // 1.25, 4e-05
  kCount,    // 1.5M
  kSeconds,  // 2m30s
  kBytes,    // 512 MiB
  kPercent,  // of a fraction
};

// With three or four digits that count.
std::string NumberText(double value, Unit unit);

struct Tick {
  double value = 0.0;
  std::string label;
};

class PlotAxis {
 public:
  // Rounds [low, high] outward to ticks, of which there are about `ticks`.
  static PlotAxis Linear(double low, double high, Unit unit, int ticks);
  // Takes [low, high] as it is.
  static PlotAxis Exact(double low, double high, Unit unit, int ticks);
  // 0 < low <= high.
  static PlotAxis Log(double low, double high, Unit unit);

  // 0 at the low end and 1 at the high end; beyond them as far as it is.
  double Place(double value) const;
  double low() const { return low_; }
  double high() const { return high_; }
  const std::vector<Tick>& ticks() const { return ticks_; }

 private:
  PlotAxis(double low, double high, bool log) : low_(low), high_(high), log_(log) {}
  void AddTicks(double step, Unit unit);

  double low_, high_;
  bool log_;
  std::vector<Tick> ticks_;
};

}  // namespace tl
