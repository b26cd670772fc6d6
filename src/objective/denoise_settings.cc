// SPDX-License-Identifier: Apache-2.0
#include "objective/denoise_settings.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/check.h"
#include "base/status.h"
#include "objective/descriptor.h"

namespace tl {
namespace {

constexpr char kAuto[] = "auto";

// "auto", and the names of an enum.
template <typename E>
std::vector<std::string> AutoOr() {
  std::vector<std::string> names = EnumNames<E>();
  names.insert(names.begin(), kAuto);
  return names;
}

// The enumerator of this name; `by_default` of "auto".
template <typename E>
E Chosen(const std::string& name, E by_default) {
  if (name == kAuto) return by_default;
  E value{};
  FromValue(ConfigValue(name), &value);
  return value;
}

std::vector<std::string> ProcessNames() {
  std::vector<std::string> names;
  for (const ProcessKind& kind : ProcessKinds()) names.emplace_back(kind.name);
  return names;
}

std::string ProcessesThatRead(const std::string& key) {
  std::vector<const char*> names;
  for (const ProcessKind& kind : ProcessKinds()) {
    if (std::find(kind.keys.begin(), kind.keys.end(), key) != kind.keys.end())
      names.push_back(kind.name);
  }
  return absl::StrJoin(names, ", ");
}

const ProcessKind& KindOf(const DenoiseSettings& settings) {
  const ProcessKind* kind = FindProcessKind(settings.process);
  TL_CHECK(kind != nullptr) << settings.process;
  return *kind;
}

// What the keys that only some settings read are read by; empty: these settings read it.
std::string ReadBy(const std::string& key, const DenoiseSettings& s) {
  const TrainingTimes times = s.training_times();
  if (key == "levels") return times == TrainingTimes::kLadder ? "" : "times = \"ladder\"";
  if (key == "p_mean" || key == "p_std")
    return times == TrainingTimes::kLognormal ? "" : "times = \"lognormal\"";
  for (const char* of_process : {"sigma_min", "sigma_max", "beta_min", "beta_max"}) {
    if (key != of_process) continue;
    const std::string readers = ProcessesThatRead(key);
    const auto& keys = KindOf(s).keys;
    const bool reads = std::find(keys.begin(), keys.end(), key) != keys.end();
    return reads ? "" : absl::StrCat("process = ", readers);
  }
  return "";
}

absl::Status Wrong(const absl::string_view key, double value, const absl::string_view expected) {
  return absl::InvalidArgumentError(
      absl::StrCat("[objective] ", key, " = ", value, ": expected ", expected));
}

}  // namespace

const ObjectiveKeys<DenoiseSettings>& DenoiseSettings::Keys() {
  using S = DenoiseSettings;
  static const auto* const keys = [] {
    auto* k = new ObjectiveKeys<S>;
    k->Key("process", &S::process, "denoise: how data becomes noise").OneOf(ProcessNames());
    k->Key("predict", &S::predict,
           "denoise: what the network's output stands for; auto: the process's own")
        .OneOf(AutoOr<Prediction>());
    k->Key("times", &S::times,
           "denoise: the noise that samples are trained at: even in the process's time, lognormal, "
           "even in the logarithm of the noise (likelihood), or of `levels` levels (ladder); auto: "
           "the process's own")
        .OneOf(AutoOr<TrainingTimes>());
    k->Key("levels", &S::levels, "denoise: noise levels of times = \"ladder\"").In(kZeroOrMore);
    k->Key("sigma_min", &S::sigma_min, "denoise: least noise; 0: the process's own")
        .In(kZeroOrMore);
    k->Key("sigma_max", &S::sigma_max, "denoise: most noise; 0: the process's own").In(kZeroOrMore);
    k->Key("sigma_data", &S::sigma_data,
           "denoise: root of the data's mean square, which input and output of the network are "
           "scaled by")
        .In(kPositive);
    k->Key("beta_min", &S::beta_min, "denoise: rate of noise at the data").In(kPositive);
    k->Key("beta_max", &S::beta_max, "denoise: rate of noise at the other end").In(kPositive);
    k->Key("p_mean", &S::p_mean, "denoise: mean of the logarithm of a lognormal noise")
        .In({-100, 100});
    k->Key("p_std", &S::p_std, "denoise: its standard deviation").In(kPositive);
    k->Key("label_drop", &S::label_drop,
           "denoise: part of the labels that training hides, so that samples can be guided")
        .In(kFromZeroToBelowOne);
    return k;
  }();
  return *keys;
}

Diffusion DenoiseSettings::diffusion() const {
  return {.process = MakeProcess(), .prediction = prediction(), .knows_no_label = label_drop > 0.0};
}

Process DenoiseSettings::MakeProcess() const {
  return {KindOf(*this),
          {.sigma_min = sigma_min,
           .sigma_max = sigma_max,
           .beta_min = beta_min,
           .beta_max = beta_max,
           .sigma_data = sigma_data,
           .p_mean = p_mean,
           .p_std = p_std,
           .levels = levels}};
}

Prediction DenoiseSettings::prediction() const { return Chosen(predict, KindOf(*this).prediction); }

TrainingTimes DenoiseSettings::training_times() const { return Chosen(times, KindOf(*this).times); }

absl::Status ValidateDenoise(const Config& config) {
  const auto s = DenoiseSettings::Keys().Read(config.objective);
  for (const auto& [key, value] : config.objective.values) {
    if (const std::string by = ReadBy(key, s); !by.empty()) {
      return absl::InvalidArgumentError(absl::StrCat("[objective] ", key, " = ", ToToml(value),
                                                     ": only ", by, " reads it, not process = \"",
                                                     s.process, "\""));
    }
  }
  if (s.training_times() == TrainingTimes::kLadder && s.levels < 2)
    return Wrong("levels", static_cast<double>(s.levels), "2 or more, as times = \"ladder\" needs");
  const ProcessKind& kind = KindOf(s);
  const double low = s.sigma_min > 0 ? s.sigma_min : kind.sigma_min;
  const double high = s.sigma_max > 0 ? s.sigma_max : kind.sigma_max;
  if (high > 0 && low >= high)
    return Wrong("sigma_min", low, absl::StrCat("less than sigma_max = ", high));
  if (s.beta_min >= s.beta_max)
    return Wrong("beta_min", s.beta_min, absl::StrCat("less than beta_max = ", s.beta_max));
  if (s.label_drop > 0 && config.model.classes == 0)
    return Wrong("label_drop", s.label_drop, "0, since [model] classes = 0: there are no labels");
  return absl::OkStatus();
}

}  // namespace tl
