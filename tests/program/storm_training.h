// SPDX-License-Identifier: Apache-2.0
// A training on two ranks whose checkpoints are compared with those of a run that nobody disturbed,
// and which knows the checkpoints that were damaged on purpose.
#pragma once

#include <sys/stat.h>

#include <algorithm>
#include <random>
#include <regex>

#include "checkpoint/folder.h"
#include "checkpoint/manifest.h"
#include "checkpoint/reader.h"
#include "tests/program/live_job.h"

namespace tl {

namespace fs = std::filesystem;

class StormTraining {
 public:
  static constexpr int64_t kSteps = 150;
  static constexpr int kEvery = 2;     // steps between checkpoints
  static constexpr int kSeconds = 60;  // that a start may take on a busy machine

  StormTraining(const std::string& folder, uint64_t seed) : folder_(folder), random_(seed) {
    SetJobEnvironment();
    fs::create_directories(folder);
  }

 protected:
  std::string checkpoints() const { return folder_ + "/run"; }
  std::string reference() const { return folder_ + "/reference"; }
  std::string log() const { return folder_ + "/log"; }
  double Random(double limit) { return std::uniform_real_distribution<>(0, limit)(random_); }
  int64_t RandomInt(int64_t n) { return std::uniform_int_distribution<int64_t>(0, n - 1)(random_); }
  void Pause(double most) {
    std::this_thread::sleep_for(std::chrono::duration<double>(Random(most)));
  }

  std::vector<std::string> Arguments(const std::string& run_dir) {
    const bool async = RandomInt(2) == 1;
    return {"train", folder_ + "/config.toml", "--set", "run.dir=" + run_dir,
            async ? "checkpoint.async=true" : "checkpoint.async=false"};
  }

  void MakeReference() {
    std::string text;
    for (int i = 0; i < 20000; ++i) text += std::to_string(i) + "\n";
    WriteFile(folder_ + "/text", text);
    Outcome outcome = RunShell(ProgramLine(1, {"tokenize", "--tokenizer", "bytes", "--out",
                                               folder_ + "/train.tok", folder_ + "/text"}),
                               kSeconds);
    ASSERT_EQ(outcome.exit_code, 0) << outcome.output;
    std::ostringstream config;
    config << "[model]\nlayers = 2\nhidden = 64\nheads = 2\nkv_heads = 1\nffn = 96\nvocab = 256\n"
           << "[precision]\ncompute = \"bf16\"\n"
           << "[data]\ntrain = \"" << folder_ << "/train.tok\"\n"
           << "[train]\nsteps = " << kSteps << "\nsequence_length = 64\n"
           << "global_batch_size = 8\nmicro_batch_size = 2\n"
           << "[optimizer]\nwarmup_steps = 1\n"
           << "[checkpoint]\nevery = " << kEvery << "\nkeep = 3\n"
           << "[run]\nlog_every = 1\n";
    WriteFile(folder_ + "/config.toml", config.str());
    std::vector<std::string> arguments = Arguments(reference());
    arguments.push_back("checkpoint.keep=0");
    outcome = RunShell(ProgramLine(2, arguments), 4 * kSeconds);
    ASSERT_EQ(outcome.exit_code, 0) << outcome.output;
    ASSERT_EQ(ListCheckpoints(reference()).size(), kSteps / kEvery);
  }

  // ---- Damaged checkpoints.

  static ino_t Inode(const std::string& path) {
    struct stat info{};
    return stat(path.c_str(), &info) == 0 ? info.st_ino : 0;
  }
  // harmless: may be resumed from all the same.
  void MarkDamaged(const std::string& path, bool harmless) {
    damaged_[path] = {Inode(path), harmless};
  }
  bool IsDamaged(const std::string& path) const {
    const auto it = damaged_.find(path);
    return it != damaged_.end() && it->second.inode == Inode(path);
  }
  bool IsHarmless(int64_t step) const {
    const auto it = damaged_.find(checkpoints() + "/" + CheckpointName(step));
    return it != damaged_.end() && it->second.harmless;
  }
  void StartOver() {
    fs::remove_all(checkpoints());
    damaged_.clear();
  }

  // ---- What is on the disk.

  // The committed checkpoints that are not damaged, newest first, each compared.
  std::vector<int64_t> ListGood() { return ListGood(checkpoints()); }
  std::vector<int64_t> ListGood(const std::string& folder) {
    std::vector<int64_t> steps;
    for (const CheckpointEntry& entry : ListCheckpoints(folder)) {
      if (IsDamaged(entry.path)) continue;
      ExpectGood(folder, entry.step);
      steps.push_back(entry.step);
    }
    return steps;
  }

  // Verifies, and equals the reference's to the bit.
  void ExpectGood(const std::string& folder, int64_t step) {
    const std::string name = "/" + CheckpointName(step);
    SCOPED_TRACE(folder + name);
    const auto mine = CheckpointReader::Open(folder + name);
    ASSERT_TRUE(mine.ok()) << mine.status();
    const auto theirs = CheckpointReader::Open(reference() + name);
    ASSERT_TRUE(theirs.ok()) << theirs.status();
    const absl::Status verified =
        (*mine)->VerifyFiles([](const std::string& wrong) { ADD_FAILURE() << wrong; });
    ASSERT_TRUE(verified.ok()) << verified;
    const Manifest& a = (*mine)->manifest();
    const Manifest& b = (*theirs)->manifest();
    EXPECT_EQ(a.run.step, step);
    EXPECT_EQ(a.run.updates, b.run.updates);
    EXPECT_EQ(a.run.samples, b.run.samples);
    ASSERT_EQ(a.tensors.size(), b.tensors.size());
    for (size_t i = 0; i < a.tensors.size(); ++i) {
      ASSERT_EQ(a.tensors[i].name, b.tensors[i].name);
      const Box whole = Box::Whole(a.tensors[i].shape);
      const int64_t n = whole.elements();
      std::vector<std::byte> x(n * SizeOf(a.tensors[i].dtype)), y(x.size());
      ASSERT_TRUE((*mine)->Read(static_cast<int>(i), whole, 0, n, x.data()).ok());
      ASSERT_TRUE((*theirs)->Read(static_cast<int>(i), whole, 0, n, y.data()).ok());
      EXPECT_TRUE(x == y) << a.tensors[i].name << " differs from the undisturbed run's";
    }
    ++compared_;
  }

  int64_t NewestCommitted() const {
    for (const CheckpointEntry& entry : ListCheckpoints(checkpoints())) {
      std::error_code error;
      if (!IsDamaged(entry.path) && fs::exists(entry.path + "/" + kManifestName, error))
        return entry.step;
    }
    return 0;
  }

  // ---- Starts and ends.

  // Before a start: remembers the damaged checkpoints that it must name.
  void NoteDamaged(const std::vector<int64_t>& good) {
    must_name_.clear();
    for (const CheckpointEntry& entry : ListCheckpoints(checkpoints())) {
      if (!good.empty() && entry.step < good[0]) continue;
      if (IsDamaged(entry.path) && !IsHarmless(entry.step))
        must_name_.push_back(CheckpointName(entry.step));
    }
  }

  // good: what there was before the start, newest first.
  void ExpectResumed(const std::string& output, const std::vector<int64_t>& good) {
    std::smatch match;
    const bool resumed =
        std::regex_search(output, match, std::regex("resumed from [^\n]*/step_([0-9]+)"));
    if (good.empty()) {
      EXPECT_FALSE(resumed) << output;
    } else {
      ASSERT_TRUE(resumed) << "expected step " << good[0] << "\n" << output;
      const int64_t step = std::stoll(match[1].str());
      EXPECT_TRUE(step == good[0] || IsHarmless(step)) << "expected step " << good[0] << "\n"
                                                       << output;
      ++resumes_;
    }
    for (const std::string& name : must_name_)
      EXPECT_NE(output.find(name), std::string::npos) << name << " is not named\n" << output;
    for (const char* crash : {"check failed", "SIGSEGV", "SIGBUS", "SIGABRT", "nobody caught",
                              "no progress for", "Sanitizer"})
      EXPECT_EQ(output.find(crash), std::string::npos) << output;
  }

  // Starts, checks what it resumes from, and lets it run until `more` new checkpoints are there.
  std::unique_ptr<LiveJob> Start(int more) {
    std::vector<int64_t> good = ListGood();
    if (!good.empty() && good[0] > kSteps - 40) {  // too near the end for a fault
      StartOver();
      good.clear();
    }
    ++starts_;
    NoteDamaged(good);
    auto job = std::make_unique<LiveJob>(2, Arguments(checkpoints()), log());
    const bool stepped = WaitUntil(kSeconds, [&] {
      return job->Output().find("\nstep ") != std::string::npos || job->ended();
    });
    EXPECT_TRUE(stepped && !job->ended()) << job->Output();
    ExpectResumed(job->Output(), good);
    const int64_t from = good.empty() ? 0 : good[0];
    WaitUntil(kSeconds, [&] { return NewestCommitted() >= from + more * kEvery || job->ended(); });
    return job;
  }

  // After a kill. False where training had come to its end before.
  bool End(LiveJob& job) {
    const std::optional<int> code = job.Wait(10);
    EXPECT_TRUE(code.has_value()) << "running 10 s after a rank's death\n" << job.Output();
    ListGood();
    return code.value_or(0) != 0;
  }

  const std::string folder_;
  int starts_ = 0, resumes_ = 0;
  int64_t compared_ = 0;
  std::vector<std::string> must_name_;

 private:
  struct Damaged {
    ino_t inode;  // of the folder: another one means that the step was saved again
    bool harmless;
  };
  std::mt19937_64 random_;
  std::map<std::string, Damaged> damaged_;  // by path
};

}  // namespace tl
