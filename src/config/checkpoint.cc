// SPDX-License-Identifier: Apache-2.0
#include "config/checkpoint.h"

#include "config/section.h"

namespace tl {

ConfigSection CheckpointSection() {
  using C = CheckpointConfig;
  SectionOf<C> s("checkpoint", "what is saved, and resumed from", &Config::checkpoint);
  s.Key("dir", &C::dir, "folder for checkpoints; \"\": [run] dir").Path().Known({"save"});
  s.Key("every", &C::every, "steps between checkpoints; 0: only at the end")
      .In(kZeroOrMore)
      .Known({"save_interval", "save_every"});
  s.Key("keep", &C::keep, "how many of the newest healthy ones stay; 0: all").In({0, 1 << 30});
  s.Key("keep_every", &C::keep_every, "checkpoints of steps that are multiples stay too; 0: none")
      .In(kZeroOrMore);
  s.Key("async", &C::async,
        "training goes on while a checkpoint is written, from a copy in host memory");
  s.Key("max_failed_saves", &C::max_failed_saves,
        "training stops after so many failed saves in a row")
      .In(kCount);
  s.Key("resume", &C::resume,
        "auto: go on from the newest healthy checkpoint in dir that verifies, where there is one; "
        "never; or the path of a checkpoint, healthy or not, or of a folder of them")
      .Path()
      .Known({"resume"});
  s.Key("time_limit", &C::time_limit,
        "from the program's start: save in time and end with exit code 85; 0s: none");
  return s.Take();
}

}  // namespace tl
