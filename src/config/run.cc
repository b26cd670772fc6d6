// SPDX-License-Identifier: Apache-2.0
#include "config/run.h"

#include "config/section.h"

namespace tl {

ConfigSection RunSection() {
  SectionOf<RunSettings> s("run", "folder and device", &Config::run);
  s.Key("dir", &RunSettings::dir,
        "folder for metrics, the resolved config and checkpoints; \"\": checkpoints/ and the "
        "config file's name")
      .Path();
  s.Key("device", &RunSettings::device,
        "where to compute; auto: GPUs where this build and the machine have them")
      .OneOf({"auto", "cpu", "cuda"});
  s.Key("deterministic", &RunSettings::deterministic,
        "GPUs: pin what may change from run to run, NCCL's algorithm and protocol");
  s.Key("threads", &RunSettings::threads,
        "per rank; 0: OMP_NUM_THREADS, else its share of the host's cores")
      .In({0, 1024});
  s.Key("stop_after", &RunSettings::stop_after,
        "stop after this step, the schedule unchanged; 0: at the last")
      .In(kZeroOrMore);
  s.Key("init_from", &RunSettings::init_from,
        "run folder to take weights from, their average where it has one; optimizer and data start "
        "fresh")
      .Path()
      .Known({"load"});
  s.Key("log_every", &RunSettings::log_every, "steps between progress lines")
      .In(kCount)
      .Known({"log_interval"});
  s.Key("watchdog_seconds", &RunSettings::watchdog_seconds,
        "end the job when a rank waits so long for others, or hangs; 0: wait for ever")
      .In({0, 1 << 30});
  return s.Take();
}

}  // namespace tl
