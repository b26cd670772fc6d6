// SPDX-License-Identifier: Apache-2.0
#include "base/progress_bar.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/host_memory.h"
#include "base/human.h"
#include "base/live_line.h"
#include "base/screen.h"

namespace tl {
namespace {

constexpr int kLongestBar = 24, kShortestBar = 6;
constexpr double kFirstEstimate = 0.5;  // seconds

bool g_has_bar = false;

std::string Amount(int64_t n, ProgressUnit unit) {
  return unit == ProgressUnit::kBytes ? HumanBytes(n) : HumanCount(static_cast<double>(n));
}

// "[===>      ]"
std::string Bar(double part, int columns) {
  const auto inside = static_cast<size_t>(columns - 2);
  const auto done = static_cast<size_t>(part * static_cast<double>(inside));
  std::string bar(done, '=');
  if (done < inside) bar += '>';
  bar.resize(inside, ' ');
  return absl::StrCat("[", bar, "]");
}

}  // namespace

std::string ProgressText(const ProgressState& s, int columns) {
  const std::string of = s.of.empty() ? "" : absl::StrCat("  ", s.of);
  if (s.total <= 0) {
    if (s.done == 0) return absl::StrCat(s.what, of);
    return absl::StrCat(s.what, "  ", Amount(s.done, s.unit), " in ", HumanTime(s.seconds), of);
  }
  const int64_t done = std::clamp<int64_t>(s.done, 0, s.total);
  const double part = static_cast<double>(done) / static_cast<double>(s.total);
  // Rounded down: 100% is done.
  std::string text = absl::StrFormat("%3d%%  %s of %s", static_cast<int>(100.0 * part),
                                     Amount(done, s.unit), Amount(s.total, s.unit));
  if (done > 0 && s.seconds >= kFirstEstimate)
    absl::StrAppend(&text, "  ETA ", HumanTime(s.seconds * (1.0 - part) / part));
  const int room = columns - static_cast<int>(s.what.size() + text.size()) - 4;
  const int bar = std::min(room, kLongestBar);
  return absl::StrCat(s.what, bar < kShortestBar ? "" : "  " + Bar(part, bar), "  ", text, of);
}

ProgressBar::ProgressBar(std::string what, int64_t total, ProgressUnit unit, std::string of)
    : shown_(ScreenOf(ProgressOutput()).in_place && !g_has_bar) {
  if (!shown_) return;
  g_has_bar = true;
  state_ = {.what = std::move(what), .of = std::move(of), .unit = unit, .total = total};
  start_ = std::chrono::steady_clock::now();
  Draw();
}

ProgressBar::~ProgressBar() {
  if (!shown_) return;
  g_has_bar = false;
  EraseLiveLine();
}

void ProgressBar::Draw() {
  const int fd = ProgressOutput();
  ShowLiveLine(fd, ProgressText(state_, ScreenWidth(ScreenOf(fd))));
}

void ProgressBar::Show() {
  if (!LiveLineDue(ProgressOutput())) return;
  state_.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  Draw();
}

}  // namespace tl
