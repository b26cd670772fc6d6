// SPDX-License-Identifier: Apache-2.0
#include "train/progress.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/human.h"

namespace tl {
namespace {

std::string Row(const char* name, const std::string& text) {
  return absl::StrFormat("  %-11s %s\n", name, text);
}

std::string Paths(const std::vector<WeightedPath>& paths) {
  return absl::StrJoin(paths, ", ", [&](std::string* out, const WeightedPath& p) {
    absl::StrAppend(out, p.path);
    if (paths.size() > 1) absl::StrAppend(out, " x ", p.weight);
  });
}

std::string MemoryText(const BannerFacts& facts) {
  std::string text;
  int64_t total = 0;
  size_t width = 20;
  for (const MemoryRow& row : facts.memory) width = std::max(width, row.name.size());
  const int column = static_cast<int>(width);
  for (const MemoryRow& row : facts.memory) {
    absl::StrAppendFormat(&text, "    %-*s %12s\n", column, row.name, HumanBytes(row.bytes));
    total += row.bytes;
  }
  absl::StrAppendFormat(&text, "    %-*s %12s", column, "in all", HumanBytes(total));
  if (facts.memory_available > 0) {
    absl::StrAppend(&text, " of ", HumanBytes(facts.memory_available));
  }
  return text + "\n";
}

// "  accept 0.71 0.55  tau 2.10": nothing where no head drafts.
std::string HeadsText(const std::vector<HeadResult>& heads) {
  std::string text;
  for (const HeadResult& head : heads) {
    const Measure* alpha = head.Find(kAcceptance);
    if (alpha == nullptr) continue;
    absl::StrAppend(&text, text.empty() ? "  accept " : " ",
                    alpha->of > 0 ? absl::StrFormat("%.2f", alpha->value) : "-");
  }
  if (text.empty()) return "";
  return absl::StrCat(text, absl::StrFormat("  tau %.2f", AcceptedLength(Acceptances(heads))));
}

// "22.7k tok/s"; of samples that are values "640 samples/s".
std::string SpeedText(const StepReport& r) {
  if (r.samples_per_second > 0.0) return HumanCount(r.samples_per_second) + " samples/s";
  return HumanCount(r.tokens_per_second) + " tok/s";
}

// "-": none, as nothing was counted.
std::string LossText(float loss, bool counted) {
  if (!counted) return "-";
  return std::isnan(loss) ? "nan" : absl::StrFormat("%.4f", loss);
}

}  // namespace

std::string ModelLine(const ModelConfig& m) {
  std::string text = absl::StrFormat("%d layers, hidden %d, %d heads of %d", m.layers, m.hidden,
                                     m.heads, m.head_dim_or_default());
  if (m.kv_heads_or_default() != m.heads) absl::StrAppend(&text, " (", m.kv_heads, " key/value)");
  absl::StrAppend(&text, ", ffn ", m.ffn);
  if (m.of_values()) {
    absl::StrAppend(&text, ", samples ", absl::StrJoin(m.shape, " x "), ", patch ", m.patch);
    if (m.classes > 0) absl::StrAppend(&text, ", ", m.classes, " classes");
    return text;
  }
  absl::StrAppend(&text, ", vocab ", m.vocab, m.tie_embeddings ? ", tied" : "");
  if (m.sliding_window > 0) absl::StrAppend(&text, ", window ", m.sliding_window);
  return text;
}

std::string PrecisionText(const Config& c) {
  std::string text = Name(c.precision.compute);
  if (c.precision.compute != Precision::kFp32) text += ", fp32 master weights and Adam state";
  if (c.train.recompute != Recompute::kNone) {
    absl::StrAppend(&text, "; recompute ", Name(c.train.recompute));
  }
  if (c.train.hidden_dropout > 0.0) absl::StrAppend(&text, "; dropout ", c.train.hidden_dropout);
  return text;
}

std::string Banner(const Config& c, const BannerFacts& facts) {
  const TrainConfig& t = c.train;
  const int64_t data = facts.ranks / c.parallel.tensor;
  const int64_t tokens = t.global_batch_size * t.sequence_length;
  std::string text = absl::StrCat("trunkline train -> ", c.run.dir, "\n");
  text += Row("model", ModelLine(c.model));
  text += Row("parameters", absl::StrFormat("%s (%d), %s FLOP per %s",
                                            HumanCount(static_cast<double>(facts.parameters)),
                                            facts.parameters, HumanCount(facts.flops_per_token),
                                            c.model.of_values() ? "patch" : "token"));
  text += Row("grid", absl::StrFormat("%d rank(s) on %d host(s) = %d data x %d tensor%s",
                                      facts.ranks, facts.hosts, data, c.parallel.tensor,
                                      c.parallel.sequence ? ", sequence parallel" : ""));
  text += Row("device", absl::StrFormat("%s, %d thread(s) per rank", facts.device, facts.threads));
  text += Row("precision", PrecisionText(c));
  text += Row("data", Paths(c.data.train));
  if (facts.train_tokens > 0) {
    const double epochs = static_cast<double>(tokens) * static_cast<double>(t.steps) /
                          static_cast<double>(facts.train_tokens);
    const bool values = c.model.of_values();
    const int64_t count = values ? facts.train_tokens / t.sequence_length : facts.train_tokens;
    text +=
        Row("", absl::StrFormat("%s %s, seen %.3g times", HumanCount(static_cast<double>(count)),
                                values ? "samples" : "tokens", epochs));
  }
  text += Row("batch", absl::StrFormat(
                           "%d %s of %d = %s %s per step: %d rank(s) x %d micro "
                           "batch(es) of %d",
                           t.global_batch_size, c.model.of_values() ? "samples" : "sequences",
                           t.sequence_length, HumanCount(static_cast<double>(tokens)),
                           c.model.of_values() ? "patches" : "tokens", data,
                           t.global_batch_size / (t.micro_batch_size * data), t.micro_batch_size));
  text += Row("steps", absl::StrFormat("%d, %s, lr %g to %g, warm-up %d", t.steps,
                                       Name(c.optimizer.schedule), c.optimizer.lr,
                                       c.optimizer.min_lr, c.optimizer.warmup_steps));
  if (!facts.memory.empty()) text += Row("memory", "planned per rank") + MemoryText(facts);
  return text;
}

std::string BannerEnd(double roof_flops, int64_t resume_step) {
  std::string text;
  if (roof_flops > 0.0)
    text += Row("roof", HumanCount(roof_flops) + "FLOP/s per rank: matrix products, measured now");
  if (resume_step > 0) text += Row("resumed", absl::StrCat("after step ", resume_step));
  return text;
}

std::string Progress::Eta(int64_t step) const {
  const auto left = static_cast<double>(std::max<int64_t>(0, last_step_ - step));
  return HumanTime(left * mean_ms_ / 1000.0);
}

std::string Progress::LiveLine(const StepReport& r) const {
  const int width = static_cast<int>(absl::StrCat(last_step_).size());
  return absl::StrFormat("step %*d/%d  loss %s  %s  ETA %s", width, r.step, last_step_,
                         LossText(r.loss, r.counted), SpeedText(r), Eta(r.step));
}

std::string Progress::Line(const StepReport& r) {
  // The first step warms up; later ones count for about ten steps.
  mean_ms_ = mean_ms_ == 0.0 || r.step <= 2 ? r.step_ms : 0.9 * mean_ms_ + 0.1 * r.step_ms;
  const int width = static_cast<int>(absl::StrCat(last_step_).size());
  std::string line = absl::StrFormat("step %*d/%d  loss %s  lr %.2e  norm %.3f  %.1f ms  %s", width,
                                     r.step, last_step_, LossText(r.loss, r.counted), r.lr,
                                     r.grad_norm, r.step_ms, SpeedText(r));
  absl::StrAppend(&line, HeadsText(r.heads));
  if (r.mfu > 0.0) absl::StrAppendFormat(&line, "  %.0f%% of roof", 100.0 * r.mfu);
  absl::StrAppend(&line, "  ETA ", Eta(r.step));
  if (r.skipped > skipped_) absl::StrAppendFormat(&line, "  skipped, scale %g", r.loss_scale);
  skipped_ = r.skipped;
  return line;
}

std::string Progress::Line(const EvalReport& r) const {
  const int width = static_cast<int>(absl::StrCat(last_step_).size());
  std::string line = absl::StrFormat("eval %*d/%d  loss %s", width, r.step, last_step_,
                                     LossText(r.eval_loss, r.eval_targets > 0));
  if (r.bits_per_byte) absl::StrAppendFormat(&line, "  %.4f %s", *r.bits_per_byte, r.bits_unit);
  absl::StrAppend(&line, HeadsText(r.heads));
  absl::StrAppendFormat(&line, "  (%s %s in %s)", HumanCount(static_cast<double>(r.eval_targets)),
                        r.targets_are, HumanTime(r.eval_ms / 1000.0));
  return line;
}

}  // namespace tl
