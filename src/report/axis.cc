// SPDX-License-Identifier: Apache-2.0
#include "report/axis.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/host_memory.h"
#include "base/human.h"

namespace tl {
namespace {

// The smallest of 1, 2, 5 times a power of ten, or of what people count time and bytes by, that is
// at least this.
double NiceStep(double least, Unit unit) {
  if (unit == Unit::kSeconds && least > 1.0) {
    for (const double nice :
         {2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 10800, 21600, 43200, 86400})
      if (nice >= least) return nice;
    return 86400.0 * NiceStep(least / 86400.0, Unit::kPlain);
  }
  if (unit == Unit::kBytes) {
    const double power = std::exp2(10.0 * std::floor(std::log2(std::max(least, 1.0)) / 10.0));
    const double nice = NiceStep(least / power, Unit::kPlain);
    return (nice >= 1000.0 ? 1024.0 : nice) * power;
  }
  const double power = std::pow(10.0, std::floor(std::log10(least)));
  for (const double nice : {1.0, 2.0, 5.0}) {
    if (nice * power >= least * (1.0 - 1e-9)) return nice * power;
  }
  return 10.0 * power;
}

// As many digits as tell one tick from the next.
std::string TickText(double value, double step, Unit unit) {
  if (std::abs(value) < 1e-9 * step) value = 0.0;
  if (unit == Unit::kPlain || unit == Unit::kPercent) {
    const double scale = unit == Unit::kPercent ? 100.0 : 1.0;
    const double size = std::max(std::abs(value), step) * scale;
    const char* const sign = unit == Unit::kPercent ? "%" : "";
    if (size >= 1e-3 && size < 1e5) {
      const double places = std::ceil(-std::log10(step * scale) - 1e-9);
      return absl::StrFormat("%.*f%s", static_cast<int>(std::clamp(places, 0.0, 6.0)),
                             value * scale, sign);
    }
    return absl::StrFormat("%g%s", value * scale, sign);
  }
  if (unit == Unit::kCount && value != 0.0) {
    constexpr const char* kUnits[] = {"", "k", "M", "G", "T", "P", "E"};
    size_t by = 0;
    double shown = value;
    while (std::abs(shown) >= 1000.0 && by + 1 < std::size(kUnits)) shown /= 1000.0, ++by;
    return absl::StrFormat("%.4g%s", shown, kUnits[by]);
  }
  if (unit == Unit::kBytes) {
    constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    size_t by = 0;
    double shown = value;
    while (std::abs(shown) >= 1024.0 && by + 1 < std::size(kUnits)) shown /= 1024.0, ++by;
    return value == 0.0 ? "0" : absl::StrFormat("%.4g %s", shown, kUnits[by]);
  }
  if (unit == Unit::kSeconds) return value == 0.0 ? "0" : NumberText(value, unit);
  return absl::StrCat(value);
}

}  // namespace

std::string NumberText(double value, Unit unit) {
  if (!std::isfinite(value)) return "–";
  const double size = std::abs(value);
  switch (unit) {
    case Unit::kCount:
      return HumanCount(value);
    case Unit::kSeconds:
      return value == 0.0 ? "0s" : HumanTime(std::min(value, 1e15));
    case Unit::kBytes:
      return HumanBytes(static_cast<int64_t>(std::clamp(value, 0.0, 9e18)));
    case Unit::kPercent:
      return absl::StrFormat("%.1f%%", 100.0 * value);
    case Unit::kPlain:
      break;
  }
  if (size == 0.0) return "0";
  if (size < 1e-2 || size >= 1e6) return absl::StrFormat("%.3g", value);
  if (value == std::floor(value)) return absl::StrFormat("%.0f", value);
  return absl::StrFormat("%.*f",
                         size >= 1000.0  ? 1
                         : size >= 100.0 ? 2
                         : size >= 10.0  ? 3
                                         : 4,
                         value);
}

void PlotAxis::AddTicks(double step, Unit unit) {
  for (double i = std::ceil(low_ / step - 1e-9); i * step <= high_ + 1e-9 * step; ++i)
    ticks_.push_back({i * step, TickText(i * step, step, unit)});
}

PlotAxis PlotAxis::Exact(double low, double high, Unit unit, int ticks) {
  if (!(high > low)) high = low + std::max(std::abs(low) * 1e-3, 1e-12);
  PlotAxis axis(low, high, false);
  axis.AddTicks(NiceStep((high - low) / ticks, unit), unit);
  return axis;
}

PlotAxis PlotAxis::Linear(double low, double high, Unit unit, int ticks) {
  // A curve that hardly moves lies in the middle.
  const double least = std::max(std::abs(high) * 1e-6, 1e-12);
  if (high - low < least) {
    const double about = std::max(std::abs(high) * 0.05, 1e-12);
    low = low >= 0.0 ? std::max(0.0, low - about) : low - about;
    high += about;
  }
  const double step = NiceStep((high - low) / ticks, unit);
  PlotAxis axis(std::floor(low / step + 1e-9) * step, std::ceil(high / step - 1e-9) * step, false);
  axis.AddTicks(step, unit);
  return axis;
}

PlotAxis PlotAxis::Log(double low, double high, Unit unit) {
  if (high < low * 1.05) {
    low /= 1.5;
    high *= 1.5;
  }
  PlotAxis axis(low, high, true);
  const double decades = std::log10(high / low);
  const std::vector<int> digits = decades > 2.5   ? std::vector<int>{1}
                                  : decades > 0.9 ? std::vector<int>{1, 2, 5}
                                                  : std::vector<int>{1, 2, 3, 4, 5, 6, 7, 8, 9};
  const double every = std::max(1.0, std::ceil(decades / 6.0));
  for (double power = std::floor(std::log10(low)); power <= std::log10(high); ++power) {
    if (std::fmod(power, every) != 0.0) continue;
    for (const int digit : digits) {
      const double value = digit * std::pow(10.0, power);
      if (value >= low * (1.0 - 1e-9) && value <= high * (1.0 + 1e-9))
        axis.ticks_.push_back({value, TickText(value, std::pow(10.0, power), unit)});
    }
  }
  // Within less than that, those of a linear axis.
  if (axis.ticks_.size() < 2) {
    axis.ticks_.clear();
    axis.AddTicks(NiceStep((high - low) / 4.0, unit), unit);
  }
  return axis;
}

double PlotAxis::Place(double value) const {
  if (!log_) return (value - low_) / (high_ - low_);
  return std::log(std::max(value, low_ * 1e-3) / low_) / std::log(high_ / low_);
}

}  // namespace tl
