// SPDX-License-Identifier: Apache-2.0
// How far a long command is, as a live line on the user's terminal (see ProgressOutput); nothing
// where there is none.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>

namespace tl {

enum class ProgressUnit : uint8_t { kBytes, kCount };

struct ProgressState {
  std::string what;  // "tokenize"
  std::string of;    // what is worked on: a path; may be empty
  ProgressUnit unit = ProgressUnit::kCount;
  int64_t done = 0;
  int64_t total = 0;     // 0: unknown
  double seconds = 0.0;  // since the beginning
};

// "tokenize  [=====>    ]  45%  1.20 GiB of 2.66 GiB  ETA 12s  web.txt", with a bar that fits
// so many columns, or none; "tokenize  1.20 GiB in 8.4s  web.txt" of an unknown total.
std::string ProgressText(const ProgressState& state, int columns);

// On the screen as long as it lives, unless there is one already. One thread.
class ProgressBar {
 public:
  ProgressBar(std::string what, int64_t total, ProgressUnit unit, std::string of = {});
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;
  ~ProgressBar();

  // So much more is done. Cheap, and next to nothing where nobody looks on.
  void Add(int64_t count = 1) {
    if (!shown_) return;
    state_.done += count;
    Show();
  }
  void SetOf(std::string of) { state_.of = std::move(of); }

 private:
  void Show();
  void Draw();

  bool shown_;
  ProgressState state_;
  std::chrono::steady_clock::time_point start_;
};

}  // namespace tl
