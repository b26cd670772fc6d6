// SPDX-License-Identifier: Apache-2.0
#include "report/read_metrics.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "base/files.h"
#include "base/status.h"
#include "report/line_layout.h"

namespace tl {
namespace {

constexpr size_t kChunk = size_t{1} << 20;
constexpr size_t kLongestLine = size_t{1} << 20;
constexpr size_t kMostLayouts = 16;
constexpr size_t kMostColumns = 256;
constexpr double kLargestStep = 9e15;

constexpr int kIgnored = -1, kStep = -2, kTokens = -3;

// Whether a report draws it.
bool Drawn(absl::string_view key) {
  static constexpr const char* kKeys[] = {"loss",
                                          "lr",
                                          "grad_norm",
                                          "loss_scale",
                                          "skipped",
                                          "step_ms",
                                          "eval_ms",
                                          "tflops",
                                          "mfu",
                                          "memory_bytes",
                                          "eval_loss",
                                          "bits_per_byte",
                                          "tokens_per_second",
                                          "accepted_length"};
  for (const char* const name : kKeys) {
    if (key == name) return true;
  }
  return absl::StartsWith(key, "losses/") || absl::StartsWith(key, "eval_losses/") ||
         (absl::StartsWith(key, "heads/") && absl::EndsWith(key, "/alpha"));
}

// A layout, and where the numbers of its lines go.
struct Known {
  LineLayout layout;
  MetricTable* table;
  std::vector<int> places;  // columns, or one of the above
};

class Parser {
 public:
  explicit Parser(RunMetrics* out) : out_(out) {}

  // False where the line is no record.
  bool Line(absl::string_view line) {
    for (size_t i = 0; i < known_.size(); ++i) {
      if (!known_[i].layout.Read(line, &values_)) continue;
      const bool good = Record(*known_[i].table, known_[i].places);
      if (i > 0) std::swap(known_[i], known_[i - 1]);  // the frequent ones come to the front
      return good;
    }
    std::optional<std::vector<NumberAt>> numbers = ReadLine(line);
    if (!numbers) return false;
    bool evaluation = false;
    for (const NumberAt& number : *numbers) evaluation = evaluation || number.key == "eval_loss";
    MetricTable& table = evaluation ? out_->evaluations : out_->steps;
    std::vector<int> places;
    values_.clear();
    for (const NumberAt& number : *numbers) {
      places.push_back(PlaceOf(number.key, table));
      values_.push_back(number.value);
    }
    if (std::optional<LineLayout> layout = LineLayout::Of(line)) {
      if (known_.size() == kMostLayouts) known_.pop_back();
      known_.push_back({*std::move(layout), &table, places});
    }
    return Record(table, places);
  }

 private:
  static int PlaceOf(const std::string& key, MetricTable& table) {
    if (key == "step") return kStep;
    if (key == "tokens") return kTokens;
    if (!Drawn(key)) return kIgnored;
    if (table.columns.size() >= kMostColumns && table.Find(key) == nullptr) return kIgnored;
    return static_cast<int>(table.Make(key));
  }
  bool Record(MetricTable& table, const std::vector<int>& places) const {
    double step = -1.0, tokens = 0.0;
    for (size_t i = 0; i < places.size(); ++i) {
      if (places[i] == kStep) step = values_[i];
      if (places[i] == kTokens) tokens = values_[i];
    }
    if (!(step >= 0.0 && step <= kLargestStep && step == std::floor(step))) return false;
    if (!(tokens >= 0.0 && std::isfinite(tokens))) return false;
    table.Add(static_cast<int64_t>(step));
    table.tokens.back() = tokens;
    for (size_t i = 0; i < places.size(); ++i) {
      if (places[i] < 0) continue;
      const bool fits = std::abs(values_[i]) <= std::numeric_limits<float>::max();
      table.Set(static_cast<size_t>(places[i]), fits ? static_cast<float>(values_[i]) : kNull);
    }
    return true;
  }

  RunMetrics* out_;
  std::vector<Known> known_;
  std::vector<double> values_;
};

double SecondsOfRow(const MetricTable& table, const std::vector<float>* milliseconds, size_t row) {
  const float ms = milliseconds == nullptr ? 0.0f : (*milliseconds)[row];
  return table.rows() > row && std::isfinite(ms) && ms > 0.0f ? 1e-3 * ms : 0.0;
}

// A step ends before the evaluation that follows it.
void AddUpTime(RunMetrics& metrics) {
  MetricTable& steps = metrics.steps;
  MetricTable& evals = metrics.evaluations;
  const std::vector<float>* const step_ms = steps.Find("step_ms");
  const std::vector<float>* const eval_ms = evals.Find("eval_ms");
  double now = 0.0;
  steps.seconds.reserve(steps.rows());
  evals.seconds.reserve(evals.rows());
  for (size_t s = 0, e = 0; s < steps.rows() || e < evals.rows();) {
    if (s < steps.rows() && (e == evals.rows() || steps.steps[s] <= evals.steps[e])) {
      steps.seconds.push_back(now += SecondsOfRow(steps, step_ms, s++));
    } else {
      evals.seconds.push_back(now += SecondsOfRow(evals, eval_ms, e++));
    }
  }
}

}  // namespace

absl::StatusOr<RunMetrics> ReadMetrics(const std::string& path) {
  TL_ASSIGN_OR_RETURN(const File file, OpenFile(path, O_RDONLY));
  RunMetrics metrics;
  Parser parser(&metrics);
  std::vector<char> buffer(kLongestLine + kChunk + 1);
  size_t held = 0;        // bytes of a line that is not whole yet
  bool too_long = false;  // passing over the rest of one
  while (true) {
    const ssize_t got = read(file.fd(), buffer.data() + held, kChunk);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return SystemError(path, "read", errno);
    if (got == 0) break;
    const char* at = buffer.data();
    const char* const end = at + held + static_cast<size_t>(got);
    while (at < end) {
      const void* const line_end = std::memchr(at, '\n', static_cast<size_t>(end - at));
      if (line_end == nullptr) break;
      const absl::string_view line(at,
                                   static_cast<size_t>(static_cast<const char*>(line_end) - at));
      if (too_long || (!line.empty() && !parser.Line(line))) ++metrics.unreadable;
      too_long = false;
      at += line.size() + 1;
    }
    held = static_cast<size_t>(end - at);
    if (held > kLongestLine) {
      too_long = true;
      held = 0;
    } else {
      std::memmove(buffer.data(), at, held);
    }
  }
  buffer[held] = '\n';
  if (held > 0 && !too_long) parser.Line({buffer.data(), held});
  AddUpTime(metrics);
  return metrics;
}

}  // namespace tl
