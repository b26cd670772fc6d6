// SPDX-License-Identifier: Apache-2.0
#include "base/watchdog.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <stdexcept>
#include <thread>

#include "base/crash.h"
#include "base/exit_code.h"
#include "base/where.h"

namespace tl {
namespace {

using std::chrono::milliseconds;
using testing::ExitedWithCode;

TEST(Watchdog, EndsAProcessThatNeitherBeatsNorWaits) {
  EXPECT_EXIT(
      {
        StartWatchdog(0.3);
        SetStep(7);
        const Doing doing("reading data");
        for (;;) pause();
      },
      ExitedWithCode(kExitHung), "in step 7, reading data: no progress for 0 s: outside of coll");
}

TEST(Watchdog, EndsAWaitInVainAndSaysForWhat) {
  EXPECT_EXIT(
      {
        StartWatchdog(0.3);
        Patience patience;
        while (!patience.Lost()) {
        }
        EndHung(patience.seconds(), "all_reduce, waits for rank 3");
      },
      ExitedWithCode(kExitHung), "all_reduce, waits for rank 3");
}

TEST(Watchdog, LetsLiveWhoBeats) {
  EXPECT_EXIT(
      {
        StartWatchdog(1.0);
        for (int i = 0; i < 200; ++i) {
          Beat();
          std::this_thread::sleep_for(milliseconds(10));
        }
        _exit(0);
      },
      ExitedWithCode(0), "");
}

TEST(Watchdog, WithoutALimitWaitsForEver) {
  Patience patience;
  for (int i = 0; i < 100'000; ++i) ASSERT_FALSE(patience.Lost());
}

TEST(Where, NamesHostStepAndActivity) {
  EXPECT_EQ(Where(), HostName());
  SetStep(3);
  {
    const Doing outer("evaluating");
    const Doing inner("reading");
    EXPECT_EQ(Where(), HostName() + ", in step 3, reading");
  }
  EXPECT_EQ(Where(), HostName() + ", in step 3");
  char small[8];
  EXPECT_EQ(WriteWhere(small, sizeof(small)), 7u);
  EXPECT_EQ(std::string(small), Where().substr(0, 7));
  SetStep(0);
}

TEST(Crash, SignalsSayWhere) {
  EXPECT_DEATH(
      {
        InstallCrashHandlers();
        SetStep(5);
        raise(SIGSEGV);
      },
      "error: .*in step 5: SIGSEGV");
}

TEST(Crash, ExceptionsThatNobodyCatchesSayWhat) {
  EXPECT_DEATH(
      {
        InstallCrashHandlers();
        std::thread([] { throw std::runtime_error("bang"); }).join();
      },
      "nobody caught: bang");
}

TEST(ExitCode, TravelsInAStatus) {
  EXPECT_EQ(ExitCodeOf(absl::OkStatus()), kExitDone);
  EXPECT_EQ(ExitCodeOf(absl::NotFoundError("x")), kExitError);
  const absl::Status end = EndWith(kExitRequeue, "saved");
  EXPECT_FALSE(end.ok());
  EXPECT_EQ(ExitCodeOf(end), kExitRequeue);
  EXPECT_EQ(end.message(), "saved");
}

}  // namespace
}  // namespace tl
