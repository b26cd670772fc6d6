// SPDX-License-Identifier: Apache-2.0
#include "report/figures.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace tl {
namespace {

using Scale = Chart::Scale;

class Figures {
 public:
  explicit Figures(absl::Span<const Run> runs) : runs_(runs) {
    for (size_t i = 0; i < runs.size(); ++i) {
      const std::vector<Mark> marks = MarksOf(runs[i], static_cast<int>(i));
      marks_.insert(marks_.end(), marks.begin(), marks.end());
    }
  }

  std::vector<Chart> All() {
    Losses();
    Heads();
    Chart bits{.id = "bits", .title = "Bits per byte", .about = "of held-out text"};
    Add(std::move(bits), "", "bits_per_byte");
    Acceptance();
    Chart length{.id = "accepted-length",
                 .title = "Expected accepted length",
                 .about =
                     "tokens per pass of greedy decoding that drafts with the heads; 1: none "
                     "is accepted"};
    Add(std::move(length), "accepted_length", "accepted_length");
    Chart rate{.id = "lr", .title = "Learning rate", .scale = Scale::kFromZero};
    rate.about = "of the schedule, by step";
    Add(std::move(rate), "lr", "");
    Chart norm{.id = "grad-norm",
               .title = "Gradient norm",
               .about = "before clipping, over all parameters",
               .scale = Scale::kLog,
               .null_is_fault = true};
    Add(std::move(norm), "grad_norm", "");
    LossScale();
    Chart speed{.id = "speed",
                .title = "Throughput",
                .about = "tokens per second, of all ranks",
                .unit = Unit::kCount,
                .scale = Scale::kFromZero};
    Add(std::move(speed), "tokens_per_second", "");
    Chart roof{.id = "roof",
               .title = "Share of the roof",
               .about =
                   "the rate of the model's matrix products over what products reach on the "
                   "machine, measured at the start",
               .unit = Unit::kPercent,
               .scale = Scale::kFromZero};
    Add(std::move(roof), "mfu", "");
    Chart memory{.id = "memory",
                 .title = "Memory",
                 .about = "of the rank that takes most",
                 .unit = Unit::kBytes,
                 .scale = Scale::kFromZero};
    Add(std::move(memory), "memory_bytes", "");
    return std::move(charts_);
  }

 private:
  bool one() const { return runs_.size() == 1; }

  void AddCurve(Chart& chart, const std::string& name, size_t run, int which, CurveKind kind,
                const MetricTable& table, const std::string& column, int dash) {
    const std::vector<float>* values = table.Find(column);
    if (values == nullptr) return;
    const bool points =
        std::any_of(values->begin(), values->end(), [](float v) { return std::isfinite(v); });
    if (!points) return;
    chart.curves.push_back({.name = one()          ? name
                                    : name.empty() ? runs_[run].name
                                                   : runs_[run].name + " · " + name,
                            .label = name.empty() ? runs_[run].name : name,
                            .colour = one() ? which : static_cast<int>(run),
                            .dash = dash,
                            .kind = kind,
                            .table = &table,
                            .values = values});
  }

  void Finish(Chart chart) {
    if (chart.curves.empty()) return;
    chart.marks = marks_;
    charts_.push_back(std::move(chart));
  }

  // A column of the steps, of the evaluations, or both.
  void Add(Chart chart, const std::string& of_steps, const std::string& of_evaluations) {
    const bool both = !of_steps.empty() && !of_evaluations.empty();
    for (size_t i = 0; i < runs_.size(); ++i) {
      const RunMetrics& m = runs_[i].metrics;
      const std::string training = both ? (one() ? "training" : "train") : one() ? chart.title : "";
      const std::string evaluation = both    ? (one() ? "evaluation" : "eval")
                                     : one() ? chart.title
                                             : "";
      AddCurve(chart, training, i, 0, CurveKind::kNoisy, m.steps, of_steps, 0);
      AddCurve(chart, evaluation, i, both ? 1 : 0, CurveKind::kDots, m.evaluations, of_evaluations,
               both && !one() ? 1 : 0);
    }
    Finish(std::move(chart));
  }

  void Losses() {
    const bool heads = std::any_of(runs_.begin(), runs_.end(), [](const Run& run) {
      return NamesOf(run.metrics.steps, "losses/", "").size() > 1;
    });
    Chart chart{.id = "loss",
                .title = "Loss",
                .about = heads ? "nats per target: in training of all heads by their weights, in "
                                 "evaluation of the main head"
                               : "nats per target: of the batch at each step, and of held-out text",
                .scale = Scale::kLog,
                .null_is_fault = true,
                .names_marks = one()};
    Add(std::move(chart), "loss", "eval_loss");
  }

  // The middle parts of columns PREFIX/NAME/SUFFIX, in the order in which heads come.
  static std::vector<std::string> NamesOf(const MetricTable& table, const std::string& prefix,
                                          const std::string& suffix) {
    std::vector<std::string> names;
    for (const MetricTable::Column& column : table.columns) {
      absl::string_view name = column.name;
      if (absl::ConsumePrefix(&name, prefix) && absl::ConsumeSuffix(&name, suffix))
        names.emplace_back(name);
    }
    return names;
  }

  // A curve per head. Of one run the evaluations too, dashed.
  void PerHead(Chart chart, const std::string& step_prefix, const std::string& eval_prefix,
               const std::string& suffix, size_t least) {
    for (size_t i = 0; i < runs_.size(); ++i) {
      const RunMetrics& m = runs_[i].metrics;
      const std::vector<std::string> heads = NamesOf(m.steps, step_prefix, suffix);
      if (heads.size() < least) continue;
      for (size_t h = 0; h < heads.size(); ++h) {
        const int which = static_cast<int>(h);
        AddCurve(chart, heads[h], i, which, CurveKind::kNoisy, m.steps,
                 absl::StrCat(step_prefix, heads[h], suffix), one() ? 0 : which);
        if (one())
          AddCurve(chart, heads[h] + " eval", i, which, CurveKind::kDots, m.evaluations,
                   absl::StrCat(eval_prefix, heads[h], suffix), 1);
      }
    }
    Finish(std::move(chart));
  }

  void Heads() {
    PerHead({.id = "head-loss",
             .title = "Loss of each head",
             .about = "nats per target of the head",
             .scale = Scale::kLog},
            "losses/", "eval_losses/", "", 2);
  }
  void Acceptance() {
    PerHead({.id = "acceptance",
             .title = "Acceptance of each head",
             .about = "how often its greedy token is the main head's, of those that decoding would "
                      "come to",
             .unit = Unit::kPercent,
             .scale = Scale::kFromZero},
            "heads/", "heads/", "/alpha", 1);
  }

  // Where nothing was scaled and nothing skipped there is nothing to see.
  void LossScale() {
    bool of_interest = false;
    for (const Run& run : runs_) {
      const std::vector<float>* const scale = run.metrics.steps.Find("loss_scale");
      const std::vector<float>* const skipped = run.metrics.steps.Find("skipped");
      if (scale != nullptr)
        of_interest = of_interest || std::any_of(scale->begin(), scale->end(), [](float v) {
                        return std::isfinite(v) && v != 1.0f;
                      });
      if (skipped != nullptr && !skipped->empty())
        of_interest = of_interest || skipped->back() > 0.0f;
    }
    if (!of_interest) return;
    Chart scale{.id = "loss-scale",
                .title = "Loss scale",
                .about = "what losses were multiplied by",
                .scale = Scale::kLog};
    Add(std::move(scale), "loss_scale", "");
    Chart skipped{.id = "skipped",
                  .title = "Skipped steps",
                  .about = "since step 0, as their gradients were not finite",
                  .scale = Scale::kFromZero};
    Add(std::move(skipped), "skipped", "");
  }

  absl::Span<const Run> runs_;
  std::vector<Mark> marks_;
  std::vector<Chart> charts_;
};

// Where the curves are once so many steps are done.
void PlaceMark(const MetricTable& steps, Mark& mark) {
  const auto after = std::upper_bound(steps.steps.begin(), steps.steps.end(), mark.step);
  if (after == steps.steps.begin()) return;
  const auto row = static_cast<size_t>(after - steps.steps.begin() - 1);
  mark.tokens = steps.tokens[row];
  mark.seconds = steps.seconds[row];
}

}  // namespace

std::vector<Chart> MakeFigures(absl::Span<const Run> runs) { return Figures(runs).All(); }

std::vector<Mark> MarksOf(const Run& run, int colour) {
  std::vector<Mark> marks;
  const MetricTable& steps = run.metrics.steps;
  const auto add = [&](MarkKind kind, int64_t step, const std::string& text) {
    Mark mark{.kind = kind, .step = step, .colour = colour, .text = text};
    PlaceMark(steps, mark);
    marks.push_back(mark);
  };
  for (const RunEvent& event : run.history.events) {
    const std::string at = absl::StrCat(" after step ", event.step);
    switch (event.kind) {
      case RunEvent::Kind::kStart:
        if (event.step > 0) add(MarkKind::kResume, event.step, "resumed" + at);
        break;
      case RunEvent::Kind::kSave:
        add(MarkKind::kSave, event.step, "saved" + at);
        break;
      case RunEvent::Kind::kStop:
        add(MarkKind::kStop, event.step, absl::StrCat("stopped by ", event.text, at));
        break;
      case RunEvent::Kind::kError:
        add(MarkKind::kStop, event.step, absl::StrCat("error", at));
        break;
      case RunEvent::Kind::kEnd:
        break;
    }
  }
  if (const std::vector<float>* const skipped = steps.Find("skipped")) {
    float before = 0.0f;
    for (size_t i = 0; i < skipped->size(); ++i) {
      const float now = (*skipped)[i];
      if (now > before)
        add(MarkKind::kSkip, steps.steps[i], absl::StrCat("skipped step ", steps.steps[i]));
      if (std::isfinite(now)) before = now;
    }
  }
  return marks;
}

}  // namespace tl
