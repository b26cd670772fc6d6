// SPDX-License-Identifier: Apache-2.0
// A storm of faults over a training on two ranks, one after the other: what a cluster does to it in
// years. After every fault
//   - each committed checkpoint that was not damaged on purpose verifies and equals, to the bit,
//     that of the same step of a run that nobody disturbed;
//   - the next start goes on from the newest of these, and names every newer one it passes over;
//     or, where there is none, it says so and what is wrong with each;
//   - nothing hangs, and no rank ends by a crash of its own.
#pragma once

#include <sys/mount.h>

#include <cstring>
#include <set>

#include "tests/program/storm_training.h"

namespace tl {

class FaultStorm : public StormTraining {
 public:
  using StormTraining::StormTraining;
  ~FaultStorm() {
    for (const std::string& mount : mounts_) umount2(mount.c_str(), MNT_DETACH);
  }

  // At least so many faults, of all kinds in turn.
  void Run(int faults) {
    MakeReference();
    using Act = void (FaultStorm::*)();
    const std::vector<Act> acts = {
        &FaultStorm::KillOne,       &FaultStorm::TruncateByOne, &FaultStorm::KillInSave,
        &FaultStorm::FlipData,      &FaultStorm::KillAll,       &FaultStorm::FlipManifest,
        &FaultStorm::KillAllInSave, &FaultStorm::LoseShard,     &FaultStorm::FlipMetadata,
        &FaultStorm::TruncateHalf,  &FaultStorm::LeaveStale,    &FaultStorm::LoseManifest,
        &FaultStorm::FillDisk,      &FaultStorm::ForbidWriting, &FaultStorm::DamageAll};
    for (size_t i = 0; (done() < faults || i < acts.size()) && !testing::Test::HasFailure(); ++i) {
      SCOPED_TRACE("act " + std::to_string(i));
      (this->*acts[i % acts.size()])();
      if ((i + 1) % acts.size() == 0) {
        std::printf("  after round %zu: %d faults\n", (i + 1) / acts.size(), done());
        std::fflush(stdout);
      }
    }
    if (!testing::Test::HasFailure()) Finish();
  }

  int done() const {
    int n = 0;
    for (const auto& [kind, count] : tally_) n += count;
    return n;
  }
  void PrintTally() const {
    for (const auto& [kind, count] : tally_) std::printf("  %4d  %s\n", count, kind.c_str());
    for (const std::string& text : skipped_) std::printf("  SKIPPED: %s\n", text.c_str());
    std::printf(
        "  %4d  faults; %d starts, %d of them from a checkpoint; %lld comparisons of a "
        "checkpoint with the undisturbed run's; %d saves failed on the full disk\n",
        done(), starts_, resumes_, static_cast<long long>(compared_), failed_saves_);
  }

 private:
  // In the end it gets to the end.
  void Finish() {
    const std::vector<int64_t> good = ListGood();
    NoteDamaged(good);
    LiveJob job(2, Arguments(checkpoints()), log());
    const std::optional<int> code = job.Wait(2 * kSeconds);
    ASSERT_TRUE(code.has_value()) << job.Output();
    EXPECT_EQ(*code, 0) << job.Output();
    ExpectResumed(job.Output(), good);
    ExpectGood(checkpoints(), kSteps);
  }

  void Count(const std::string& kind) { ++tally_[kind]; }

  // ---- Ranks.

  void KillRank(LiveJob& job, const std::string& kind) {
    job.Signal(static_cast<int>(RandomInt(2)), SIGKILL);
    if (End(job)) Count(kind);
  }
  void KillAllRanks(LiveJob& job, const std::string& kind) {
    job.KillAll();
    if (End(job)) Count(kind);
  }
  void KillOne() {
    const auto job = Start(0);
    Pause(0.4);
    KillRank(*job, "SIGKILL of one rank at a random moment");
  }
  void KillAll() {
    const auto job = Start(0);
    Pause(0.4);
    KillAllRanks(*job, "SIGKILL of all ranks at a random moment");
  }
  void KillInSave() {
    const auto job = Start(0);
    WaitForSave(*job);
    KillRank(*job, "SIGKILL of one rank in a save");
  }
  void KillAllInSave() {
    const auto job = Start(0);
    WaitForSave(*job);
    KillAllRanks(*job, "SIGKILL of all ranks in a save");
  }
  void WaitForSave(LiveJob& job) {
    const auto saving = [&] {
      std::error_code error;
      for (fs::directory_iterator it(checkpoints(), error), end; !error && it != end;
           it.increment(error)) {
        const std::string name = it->path().filename().string();
        if (name.starts_with("step_") && name.find(".tmp-") != std::string::npos) return true;
      }
      return false;
    };
    while (!saving() && !job.ended()) std::this_thread::sleep_for(std::chrono::microseconds(100));
    Pause(0.01);
  }

  // ---- Files.

  // Runs until there are several checkpoints, kills all, and gives the newest to be damaged.
  std::string Newest() {
    KillAllRanks(*Start(3), "SIGKILL of all ranks, then damage");
    for (const CheckpointEntry& entry : ListCheckpoints(checkpoints())) {
      if (!IsDamaged(entry.path)) return entry.path;
    }
    ADD_FAILURE() << "no checkpoint in " << checkpoints();
    return "";
  }
  void Damage(const std::string& path, const std::string& kind, bool harmless = false) {
    MarkDamaged(path, harmless);
    Count(kind);
  }
  std::string Shard(const std::string& path) {
    return path + "/" + ManifestOf(path).files[RandomInt(2)].name;
  }
  static Manifest ManifestOf(const std::string& path) {
    const auto manifest = ParseManifest(ReadFile(path + "/" + kManifestName), path);
    EXPECT_TRUE(manifest.ok()) << manifest.status();
    return manifest.value_or(Manifest());
  }
  void Flip(const std::string& file, int64_t at) {
    std::string bytes = ReadFile(file);
    ASSERT_LT(at, static_cast<int64_t>(bytes.size()));
    bytes[at] = static_cast<char>(bytes[at] ^ (1 << RandomInt(8)));
    WriteFile(file, bytes);
  }

  void TruncateByOne() {
    const std::string path = Newest();
    const std::string shard = Shard(path);
    fs::resize_file(shard, fs::file_size(shard) - 1);
    Damage(path, "a shard truncated by a byte");
  }
  void TruncateHalf() {
    const std::string path = Newest();
    const std::string shard = Shard(path);
    fs::resize_file(shard, fs::file_size(shard) / 2);
    Damage(path, "a shard truncated by half");
  }
  void FlipData() {
    const std::string path = Newest();
    const Manifest manifest = ManifestOf(path);
    const FileRecord& file = manifest.files[RandomInt(2)];
    const Piece& piece = file.pieces[RandomInt(static_cast<int64_t>(file.pieces.size()))];
    Flip(path + "/" + file.name, piece.offset + RandomInt(manifest.piece_bytes(piece)));
    Damage(path, "a bit flipped in data");
  }
  void FlipMetadata() {
    const std::string path = Newest();
    const Manifest manifest = ManifestOf(path);
    const FileRecord& file = manifest.files[RandomInt(2)];
    int64_t at = 0;
    for (bool inside = true; inside;) {
      at = RandomInt(file.bytes);
      inside = false;
      for (const Piece& piece : file.pieces)
        inside |= at >= piece.offset && at < piece.offset + manifest.piece_bytes(piece);
    }
    Flip(path + "/" + file.name, at);
    // Loading goes by the manifest: what HDF5 says is not needed, so it may resume from it.
    Damage(path, "a bit flipped in HDF5 metadata", /*harmless=*/true);
  }
  void FlipManifest() {
    const std::string path = Newest();
    const std::string file = path + "/" + kManifestName;
    Flip(file, RandomInt(static_cast<int64_t>(fs::file_size(file))));
    Damage(path, "a bit flipped in the manifest");
  }
  void LoseShard() {
    const std::string path = Newest();
    fs::remove(Shard(path));
    Damage(path, "a missing shard");
  }
  void LoseManifest() {
    const std::string path = Newest();
    fs::remove(path + "/" + kManifestName);
    Damage(path, "a missing manifest");
  }
  // Half of a save that died: must not be taken for a checkpoint, and must go.
  void LeaveStale() {
    const std::string path = Newest();
    const int64_t step = std::stoll(path.substr(path.rfind('_') + 1)) + kEvery;
    const std::string stale = checkpoints() + "/" + TemporaryName(step, "dead");
    fs::copy(path, stale);
    fs::remove(stale + "/" + kManifestName);
    Count("a stale temporary folder");
    const auto job = Start(1);
    EXPECT_FALSE(fs::exists(stale)) << job->Output();
    KillAllRanks(*job, "SIGKILL of all ranks, then damage");
  }
  // All of them: the start says what is wrong with each, and trains nothing.
  void DamageAll() {
    Newest();
    for (const CheckpointEntry& entry : ListCheckpoints(checkpoints())) {
      if (IsDamaged(entry.path)) continue;
      const std::string shard = Shard(entry.path);
      fs::resize_file(shard, fs::file_size(shard) - 1);
      Damage(entry.path, "every checkpoint of a folder truncated");
    }
    NoteDamaged({});
    LiveJob job(2, Arguments(checkpoints()), log());
    const auto code = job.Wait(kSeconds);
    ASSERT_TRUE(code.has_value()) << job.Output();
    EXPECT_EQ(*code, 1) << job.Output();
    ExpectResumed(job.Output(), {});
    StartOver();
  }

  // ---- Disks.

  bool Mount(const char* type, const std::string& source, const std::string& at, uint64_t flags,
             const char* options) {
    fs::create_directories(at);
    if (mount(source.c_str(), at.c_str(), type, flags, options) != 0) {
      skipped_.insert(std::string("faults of disks need mounts: ") + std::strerror(errno));
      return false;
    }
    mounts_.push_back(at);
    return true;
  }
  void Unmount(const std::string& at) {
    umount2(at.c_str(), MNT_DETACH);
    std::erase(mounts_, at);
  }
  // Writes until nothing more fits.
  static void Fill(const std::string& path) {
    std::ofstream file(path, std::ios::binary);
    const std::string block(16 << 10, 'x');
    while (file.write(block.data(), static_cast<std::streamsize>(block.size()))) file.flush();
  }

  // A disk that fills up at some moment of some saves and gets room again.
  void FillDisk() {
    const std::string disk = folder_ + "/disk";
    if (!Mount("tmpfs", "tmpfs", disk, 0, "size=12m")) return;
    const std::string where = disk + "/checkpoints";
    fs::remove_all(folder_ + "/disk_run");
    std::vector<std::string> arguments = Arguments(folder_ + "/disk_run");
    arguments.insert(arguments.end(),
                     {"checkpoint.dir=" + where, "checkpoint.max_failed_saves=1000"});
    const auto failures = [](const LiveJob& job) { return tl::Count(job.Output(), "in a row): "); };
    {
      LiveJob job(2, arguments, log());
      WaitUntil(kSeconds, [&] { return ListCheckpoints(where).size() >= 2 || job.ended(); });
      for (int i = 0; i < 60 && failures(job) < 5 && !job.ended(); ++i) {
        Fill(disk + "/ballast");
        Pause(0.1);
        fs::remove(disk + "/ballast");
        Pause(0.1);
      }
      job.KillAll();
      job.Wait(10);
      EXPECT_GT(failures(job), 0) << job.Output();
      failed_saves_ += failures(job);
    }
    const std::vector<int64_t> good = ListGood(where);
    EXPECT_FALSE(good.empty());
    must_name_.clear();
    ++starts_;
    LiveJob job(2, arguments, log());
    EXPECT_TRUE(WaitUntil(kSeconds, [&] {
      return job.Output().find("resumed from") != std::string::npos || job.ended();
    })) << job.Output();
    job.KillAll();
    job.Wait(10);
    ExpectResumed(job.Output(), good);
    Count("a disk that is full in a save (ENOSPC)");
    Unmount(disk);
  }

  // It says at once that it cannot save there.
  void ForbidWriting() {
    Newest();
    const std::string view = folder_ + "/readonly";
    if (!Mount("", checkpoints(), view, MS_BIND, nullptr)) return;
    if (mount("", view.c_str(), "", MS_BIND | MS_REMOUNT | MS_RDONLY, nullptr) != 0) {
      skipped_.insert(std::string("read-only mounts: ") + std::strerror(errno));
      return Unmount(view);
    }
    const auto before = Snapshot(checkpoints());
    std::vector<std::string> arguments = Arguments(folder_ + "/readonly_run");
    arguments.push_back("checkpoint.dir=" + view);
    ++starts_;
    LiveJob job(2, arguments, log());
    const std::optional<int> code = job.Wait(kSeconds);
    ASSERT_TRUE(code.has_value()) << job.Output();
    EXPECT_EQ(*code, 1) << job.Output();
    EXPECT_TRUE(std::regex_search(
        job.Output(), std::regex("error: [^\n]*readonly[^\n]*[Rr]ead-only file system")))
        << job.Output();
    EXPECT_TRUE(before == Snapshot(checkpoints()));
    Unmount(view);
    Count("a read-only folder");
  }

  std::map<std::string, int> tally_;
  std::set<std::string> skipped_;
  std::vector<std::string> mounts_;
  int failed_saves_ = 0;
};

}  // namespace tl
