// SPDX-License-Identifier: Apache-2.0
#include "train/metrics.h"

#include <cmath>
#include <cstdio>
#include <fstream>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status.h"

namespace tl {
namespace {

constexpr char kStart[] = "{\"step\":";

std::string JsonNumber(double value, int digits) {
  return std::isfinite(value) ? absl::StrFormat("%.*g", digits, value) : "null";
}
std::string Fp32(float value) { return JsonNumber(value, 9); }
std::string Field(const char* name, const std::string& value) {
  return absl::StrCat(",\"", name, "\":", value);
}

// Head names are ours, but stay valid JSON whatever they are.
std::string JsonString(const std::string& text) {
  std::string out = "\"";
  for (const char ch : text) {
    const auto byte = static_cast<unsigned char>(ch);
    if (byte < 0x20 || ch == '"' || ch == '\\') {
      absl::StrAppend(&out, "\\u", absl::Hex(byte, absl::kZeroPad4));
    } else {
      out += ch;
    }
  }
  return out + '"';
}

std::string HeadsFields(const std::vector<HeadResult>& heads) {
  if (heads.empty()) return "";
  std::string text;
  for (const HeadResult& head : heads) {
    absl::StrAppend(&text, text.empty() ? "" : ",", JsonString(head.name),
                    ":{\"targets\":", head.targets);
    for (const Measure& m : head.measures) {
      absl::StrAppend(&text, Field(m.kind->name, JsonNumber(m.value, 6)));
      if (m.kind->of_name != nullptr)
        absl::StrAppend(&text, Field(m.kind->of_name, absl::StrCat(m.of)));
    }
    text += "}";
  }
  text = Field("heads", absl::StrCat("{", text, "}"));
  if (const std::vector<double> alphas = Acceptances(heads); !alphas.empty())
    absl::StrAppend(&text, Field("accepted_length", JsonNumber(AcceptedLength(alphas), 6)));
  return text;
}

// The step of a line that ToJson wrote; -1 for others.
int64_t StepOf(const std::string& line) {
  int64_t step = -1;
  if (!absl::StartsWith(line, kStart) || !absl::EndsWith(line, "}")) return -1;
  const size_t begin = sizeof(kStart) - 1;
  if (!absl::SimpleAtoi(line.substr(begin, line.find(',') - begin), &step)) return -1;
  return step;
}

std::string EvalLosses(const std::vector<HeadResult>& heads) {
  std::string losses;
  for (const HeadResult& head : heads) {
    absl::StrAppend(&losses, losses.empty() ? "" : ",", JsonString(head.name), ":",
                    Fp32(static_cast<float>(head.loss)));
  }
  return heads.empty() ? "" : Field("eval_losses", absl::StrCat("{", losses, "}"));
}

}  // namespace

std::string ToJson(const StepReport& r) {
  std::string losses;
  for (const auto& [head, loss] : r.losses) {
    absl::StrAppend(&losses, losses.empty() ? "" : ",", JsonString(head), ":", Fp32(loss));
  }
  return absl::StrCat(
      kStart, r.step, Field("tokens", absl::StrCat(r.tokens)), Field("loss", Fp32(r.loss)),
      Field("losses", absl::StrCat("{", losses, "}")), HeadsFields(r.heads),
      Field("lr", JsonNumber(r.lr, 9)), Field("grad_norm", JsonNumber(r.grad_norm, 9)),
      Field("loss_scale", JsonNumber(r.loss_scale, 9)), Field("skipped", absl::StrCat(r.skipped)),
      Field("step_ms", JsonNumber(r.step_ms, 6)),
      Field("tokens_per_second", JsonNumber(r.tokens_per_second, 6)),
      r.samples_per_second > 0.0 ? Field("samples_per_second", JsonNumber(r.samples_per_second, 6))
                                 : "",
      Field("tflops", JsonNumber(r.tflops, 6)), Field("mfu", JsonNumber(r.mfu, 6)),
      Field("memory_bytes", absl::StrCat(r.memory_bytes)), "}\n");
}

std::string ToJson(const EvalReport& r) {
  return absl::StrCat(
      kStart, r.step, Field("tokens", absl::StrCat(r.tokens)),
      Field("eval_loss", Fp32(r.eval_loss)),
      r.bits_per_byte ? Field("bits_per_byte", JsonNumber(*r.bits_per_byte, 9)) : "",
      EvalLosses(r.heads), HeadsFields(r.heads),
      Field("eval_targets", absl::StrCat(r.eval_targets)),
      Field("eval_ms", JsonNumber(r.eval_ms, 6)), "}\n");
}

absl::StatusOr<MetricsFile> MetricsFile::Open(const std::string& path, int64_t resume_step) {
  std::string kept;
  bool dropped = false;
  int64_t last_evaluation = -1;
  std::ifstream old(path);
  for (std::string line; std::getline(old, line);) {
    const int64_t step = StepOf(line);
    if (step >= 0 && step <= resume_step && !old.eof()) {
      absl::StrAppend(&kept, line, "\n");
      if (absl::StrContains(line, ",\"eval_loss\":")) last_evaluation = step;
    } else {
      dropped = true;
    }
  }
  if (dropped) TL_RETURN_IF_ERROR(ReplaceFile(path, kept));
  TL_ASSIGN_OR_RETURN(AppendFile file, AppendFile::Open(path));
  return MetricsFile(std::move(file), last_evaluation);
}

}  // namespace tl
