// SPDX-License-Identifier: Apache-2.0
#include "config/optimizer.h"

#include "config/section.h"

namespace tl {

const char* Name(ScheduleKind schedule) {
  switch (schedule) {
    case ScheduleKind::kConstant:
      return "constant";
    case ScheduleKind::kCosine:
      return "cosine";
    case ScheduleKind::kLinear:
      return "linear";
    case ScheduleKind::kWsd:
      return "wsd";
  }
  return "?";
}

ConfigSection OptimizerSection() {
  using O = OptimizerConfig;
  SectionOf<O> s("optimizer", "the update and its learning rate", &Config::optimizer);
  s.Key("name", &O::name, "the update rule").OneOf({"adamw"});
  s.Key("lr", &O::lr, "peak learning rate")
      .In(kPositive)
      .Changes(AtResume::kSchedule)
      .Known({"learning_rate"});
  s.Key("min_lr", &O::min_lr, "learning rate at the end of the schedule")
      .In(kZeroOrMore)
      .Changes(AtResume::kSchedule);
  s.Key("warmup_steps", &O::warmup_steps, "steps of linear rise from 0 to lr")
      .In(kZeroOrMore)
      .Changes(AtResume::kSchedule)
      .Known({"lr_warmup_iters", "warmup_iters"});
  s.Key("schedule", &O::schedule, "shape of the fall from lr to min_lr")
      .Changes(AtResume::kSchedule)
      .Known({"lr_decay_style"});
  s.Key("decay_fraction", &O::decay_fraction, "wsd: the part of the steps that falls, at the end")
      .In({0, 1})
      .Changes(AtResume::kSchedule);
  s.Key("weight_decay", &O::weight_decay, "decoupled, times the learning rate; never on biases")
      .In(kZeroOrMore);
  s.Key("decay_embeddings", &O::decay_embeddings, "decay embeddings too");
  s.Key("decay_norms", &O::decay_norms, "decay norms too");
  s.Key("beta1", &O::beta1, "decay of the gradient's mean")
      .In(kFromZeroToBelowOne)
      .Known({"adam_beta1"});
  s.Key("beta2", &O::beta2, "decay of the squared gradient's mean")
      .In(kFromZeroToBelowOne)
      .Known({"adam_beta2"});
  s.Key("eps", &O::eps, "added to the root of the second moment").In(kPositive).Known({"adam_eps"});
  s.Key("clip", &O::clip, "largest norm of the whole gradient; 0: no clipping")
      .In(kZeroOrMore)
      .Known({"clip_grad", "grad_clip"});
  s.Key("ema", &O::ema,
        "decay of an average of weights, which eval, generate and export then use; 0: none. It "
        "rises as (1 + n) / (10 + n) with the updates n")
      .In(kFromZeroToBelowOne)
      .Known({"ema_decay"});
  return s.Take();
}

}  // namespace tl
