// SPDX-License-Identifier: Apache-2.0
#include "report/summary.h"

#include <algorithm>
#include <cmath>
#include <ctime>
#include <functional>
#include <limits>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/human.h"
#include "report/axis.h"
#include "report/chart.h"
#include "report/escape.h"
#include "train/progress.h"

namespace tl {
namespace {

// NaN where there is no such column or number in it.
double LastOf(const MetricTable& table, const char* column) {
  const std::vector<float>* const values = table.Find(column);
  if (values == nullptr) return std::numeric_limits<double>::quiet_NaN();
  const auto last =
      std::find_if(values->rbegin(), values->rend(), [](float v) { return std::isfinite(v); });
  return last == values->rend() ? std::numeric_limits<double>::quiet_NaN() : *last;
}

double LargestOf(const MetricTable& table, const char* column) {
  double most = std::numeric_limits<double>::quiet_NaN();
  if (const std::vector<float>* const values = table.Find(column))
    for (const float v : *values)
      if (std::isfinite(v) && !(v <= most)) most = v;
  return most;
}

// Of the latter half of the steps: the first warm up.
double MedianOf(const MetricTable& table, const char* column) {
  const std::vector<float>* const values = table.Find(column);
  if (values == nullptr) return std::numeric_limits<double>::quiet_NaN();
  std::vector<float> some;
  for (size_t i = values->size() / 2; i < values->size(); ++i)
    if (std::isfinite((*values)[i])) some.push_back((*values)[i]);
  if (some.empty()) return std::numeric_limits<double>::quiet_NaN();
  const auto middle = some.begin() + static_cast<std::ptrdiff_t>(some.size() / 2);
  std::nth_element(some.begin(), middle, some.end());
  return *middle;
}

struct Outcome {
  const char* name;
  Unit unit;
  std::function<double(const RunMetrics&)> value;
};

const std::vector<Outcome>& Outcomes() {
  static const auto* const kOutcomes = new std::vector<Outcome>{
      {"loss", Unit::kPlain, [](const auto& m) { return LastOf(m.steps, "loss"); }},
      {"evaluation loss", Unit::kPlain,
       [](const auto& m) { return LastOf(m.evaluations, "eval_loss"); }},
      {"bits per byte", Unit::kPlain,
       [](const auto& m) { return LastOf(m.evaluations, "bits_per_byte"); }},
      {"accepted length", Unit::kPlain,
       [](const auto& m) {
         const double of_evaluations = LastOf(m.evaluations, "accepted_length");
         return std::isnan(of_evaluations) ? LastOf(m.steps, "accepted_length") : of_evaluations;
       }},
      {"tokens", Unit::kCount,
       [](const auto& m) { return m.steps.rows() == 0 ? NAN : m.steps.tokens.back(); }},
      {"time in steps and evaluations", Unit::kSeconds,
       [](const auto& m) {
         return std::max(m.steps.rows() == 0 ? NAN : m.steps.seconds.back(),
                         m.evaluations.rows() == 0 ? 0.0 : m.evaluations.seconds.back());
       }},
      {"tokens per second, median", Unit::kCount,
       [](const auto& m) { return MedianOf(m.steps, "tokens_per_second"); }},
      {"of the roof, median", Unit::kPercent,
       [](const auto& m) {
         const double share = MedianOf(m.steps, "mfu");
         return share > 0.0 ? share : NAN;
       }},
      {"memory of a rank", Unit::kBytes,
       [](const auto& m) { return LargestOf(m.steps, "memory_bytes"); }},
      {"skipped steps", Unit::kPlain, [](const auto& m) { return LastOf(m.steps, "skipped"); }},
  };
  return *kOutcomes;
}

std::string FactOf(const Run& run, const char* key) {
  const auto it = run.history.facts.find(key);
  return it == run.history.facts.end() ? "" : it->second;
}

double NumberFact(const Run& run, const char* key) {
  double value = 0.0;
  return absl::SimpleAtod(FactOf(run, key), &value) ? value : 0.0;
}

std::string CountText(double n, const char* unit) {
  return n > 0.0 ? absl::StrCat(HumanCount(n), unit) : "";
}

std::string GridText(const Run& run) {
  const std::string grid = FactOf(run, "grid"), ranks = FactOf(run, "ranks");
  if (grid.empty()) return "";
  std::string text = grid + " (data x tensor)";
  if (!ranks.empty())
    absl::StrAppend(&text, ", ", ranks, " rank(s) on ", FactOf(run, "hosts"), " host(s)");
  if (run.config.parallel.sequence) text += ", sequence parallel";
  return text;
}

std::string MachineText(const Run& run) {
  std::string text = FactOf(run, "device");
  if (const std::string threads = FactOf(run, "threads"); !threads.empty() && !text.empty())
    absl::StrAppend(&text, ", ", threads, " thread(s) per rank");
  if (const double roof = NumberFact(run, "roof_tflops"); roof > 0.0)
    absl::StrAppend(&text, "; roof ", HumanCount(1e12 * roof), "FLOP/s per rank");
  return text;
}

std::string DateText(int64_t time) {
  const auto seconds = static_cast<std::time_t>(time);
  std::tm utc = {};
  char text[64];
  if (time <= 0 || gmtime_r(&seconds, &utc) == nullptr) return "";
  return std::string(text, std::strftime(text, sizeof text, "%Y-%m-%d %H:%M UTC", &utc));
}

std::string DatesText(const Run& run) {
  const auto& events = run.history.events;
  std::string first, last;
  for (const RunEvent& event : events) {
    const std::string date = DateText(event.time);
    if (first.empty()) first = date;
    if (!date.empty()) last = date;
  }
  return first.empty() ? "" : absl::StrCat(first, " to ", last);
}

std::string BatchText(const TrainConfig& t) {
  return absl::StrFormat("%d sequences of %d = %s tokens per step", t.global_batch_size,
                         t.sequence_length,
                         HumanCount(static_cast<double>(t.global_batch_size * t.sequence_length)));
}

std::string ScheduleText(const Config& c) {
  return absl::StrFormat("%s, lr %g to %g, warm-up %d steps, weight decay %g, clip %g",
                         Name(c.optimizer.schedule), c.optimizer.lr, c.optimizer.min_lr,
                         c.optimizer.warmup_steps, c.optimizer.weight_decay, c.optimizer.clip);
}

// One line per file.
std::string DataHtml(const Run& run) {
  std::string html;
  for (const FileIdentity& file : run.history.data)
    absl::StrAppend(&html, html.empty() ? "" : "<br>", "<code>", Escaped(file.path), "</code> ",
                    Escaped(file.key), ": ", Escaped(Describe(file)));
  if (!html.empty()) return html;
  for (const auto* paths : {&run.config.data.train, &run.config.data.eval})
    for (const WeightedPath& path : *paths)
      absl::StrAppend(&html, html.empty() ? "" : "<br>", "<code>", Escaped(path.path), "</code>");
  return html;
}

struct SetupRow {
  const char* name;
  std::function<std::string(const Run&)> html;
};

const std::vector<SetupRow>& SetupRows() {
  static const auto* const kSetupRows = new std::vector<SetupRow>{
      {"outcome", [](const Run& r) { return Escaped(OutcomeText(r)); }},
      {"folder", [](const Run& r) { return absl::StrCat("<code>", Escaped(r.dir), "</code>"); }},
      {"when", [](const Run& r) { return DatesText(r); }},
      {"model", [](const Run& r) { return Escaped(ModelLine(r.config.model)); }},
      {"parameters",
       [](const Run& r) {
         const std::string n = CountText(NumberFact(r, "parameters"), "");
         return n.empty() ? n
                          : absl::StrCat(n, ", ", HumanCount(NumberFact(r, "flops_per_token")),
                                         " FLOP per token");
       }},
      {"objective", [](const Run& r) { return Escaped(r.config.objective.name); }},
      {"starts from",
       [](const Run& r) {
         const std::string& from = r.config.run.init_from;
         return from.empty() ? std::string() : absl::StrCat("<code>", Escaped(from), "</code>");
       }},
      {"batch", [](const Run& r) { return BatchText(r.config.train); }},
      {"steps", [](const Run& r) { return Escaped(ScheduleText(r.config)); }},
      {"precision", [](const Run& r) { return Escaped(PrecisionText(r.config)); }},
      {"grid", [](const Run& r) { return Escaped(GridText(r)); }},
      {"machine", [](const Run& r) { return Escaped(MachineText(r)); }},
      {"versions",
       [](const Run& r) {
         const std::string program = FactOf(r, "program");
         return program.empty()
                    ? std::string()
                    : Escaped(absl::StrCat("trunkline ", program, "; ", FactOf(r, "libraries")));
       }},
      {"data", [](const Run& r) { return DataHtml(r); }},
      {"tokens of data",
       [](const Run& r) {
         const double all = NumberFact(r, "train_tokens");
         if (all <= 0.0 || r.metrics.steps.rows() == 0) return std::string();
         return absl::StrFormat("%s, seen %.3g times", HumanCount(all),
                                r.metrics.steps.tokens.back() / all);
       }},
  };
  return *kSetupRows;
}

std::string RunHead(absl::Span<const Run> runs) {
  std::string html = "<thead><tr><th></th>";
  for (size_t i = 0; i < runs.size(); ++i)
    absl::StrAppendFormat(&html, "<th class=\"c%d\"><i></i>%s</th>", static_cast<int>(i) % kColours,
                          Escaped(runs[i].name));
  return html + "</tr></thead>";
}

}  // namespace

std::string OutcomeText(const Run& run) {
  const std::string after =
      absl::StrCat(" after step ", run.last_step(), " of ", run.config.train.steps);
  if (!run.history.events.empty()) {
    const RunEvent& last = run.history.events.back();
    if (last.kind == RunEvent::Kind::kStop) return absl::StrCat("stopped by ", last.text, after);
    if (last.kind == RunEvent::Kind::kError) return absl::StrCat("ended", after, ": ", last.text);
    if (last.kind == RunEvent::Kind::kEnd) return "finished" + after;
  }
  return (run.last_step() >= run.config.train.steps ? "finished" : "last seen") + after;
}

std::string OutcomeHtml(absl::Span<const Run> runs) {
  std::string html, rows;
  for (const Outcome& outcome : Outcomes()) {
    std::string cells;
    bool any = false;
    for (const Run& run : runs) {
      const double value = outcome.value(run.metrics);
      const std::string text = NumberText(value, outcome.unit);
      any = any || std::isfinite(value);
      absl::StrAppend(&cells, "<td>", text, "</td>");
      if (runs.size() == 1 && std::isfinite(value))
        absl::StrAppend(&html, "<div><b>", text, "</b><span>", outcome.name, "</span></div>");
    }
    if (any)
      absl::StrAppend(&rows, "<tr><th scope=\"row\">", outcome.name, "</th>", cells, "</tr>");
  }
  if (runs.size() == 1) return absl::StrCat("<div class=\"tiles\">", html, "</div>\n");
  return absl::StrCat("<div class=\"scroll\"><table class=\"numbers\">", RunHead(runs), "<tbody>",
                      rows, "</tbody></table></div>\n");
}

std::string FactsHtml(absl::Span<const Run> runs) {
  std::string rows;
  for (const SetupRow& fact : SetupRows()) {
    std::string cells;
    bool any = false;
    for (const Run& run : runs) {
      const std::string text = fact.html(run);
      any = any || !text.empty();
      absl::StrAppend(&cells, "<td>", text.empty() ? "–" : text, "</td>");
    }
    if (any) absl::StrAppend(&rows, "<tr><th scope=\"row\">", fact.name, "</th>", cells, "</tr>");
  }
  return absl::StrCat("<div class=\"scroll\"><table class=\"facts\">",
                      runs.size() > 1 ? RunHead(runs) : "", "<tbody>", rows,
                      "</tbody></table></div>\n");
}

}  // namespace tl
