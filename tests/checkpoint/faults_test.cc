// SPDX-License-Identifier: Apache-2.0
// Damage of every kind to the newest of two checkpoints: the other one is taken, or what is wrong
// is said; never a crash, wrong data or a lost good checkpoint. Prints the tally.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <iterator>
#include <map>

#include "base/philox.h"
#include "checkpoint/load.h"
#include "tests/checkpoint/synthetic.h"
#include "tests/data/temp_folder.h"

namespace tl {
namespace {

namespace fs = std::filesystem;

std::string ReadBytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void WriteBytes(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

// Two good checkpoints in a folder of the test's own.
class Faults : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = Folder() + "/" + testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::create_directories(folder_);
    older_ = MakeCheckpoint(folder_, 10, 2, 2);
    newer_ = MakeCheckpoint(folder_, 20, 2, 1);
  }

  // What a resuming run would take.
  absl::StatusOr<std::string> Load() {
    const auto world = MakeSelfCommunicator();
    return LoadNewest(folder_, *world,
                      [](CheckpointReader& reader) { return CheckSynthetic(reader); });
  }

  // After damage to the newest: the older one, intact.
  void ExpectOlder(const std::string& fault) {
    const auto loaded = Load();
    ASSERT_TRUE(loaded.ok()) << fault << ": " << loaded.status();
    EXPECT_EQ(*loaded, older_) << fault;
    ++tally_[fault];
  }

  ~Faults() override {
    for (const auto& [fault, count] : tally_)
      std::printf("%s: %d times, a good checkpoint was taken each time\n", fault.c_str(), count);
  }

  std::string folder_, older_, newer_;
  std::map<std::string, int> tally_;
};

TEST_F(Faults, None) { EXPECT_EQ(Load().value(), newer_); }

TEST_F(Faults, Truncation) {
  for (const auto& entry : fs::directory_iterator(newer_)) {
    const std::string path = entry.path().string(), bytes = ReadBytes(path);
    for (const size_t left : {bytes.size() - 1, bytes.size() / 2, size_t{0}}) {
      fs::resize_file(path, left);
      ExpectOlder("truncated");
      WriteBytes(path, bytes);
    }
    WriteBytes(path, bytes + "x");
    ExpectOlder("appended to");
    WriteBytes(path, bytes);
  }
  EXPECT_EQ(Load().value(), newer_);
}

TEST_F(Faults, MissingFiles) {
  for (const char* name : {"shard_0000.h5", "shard_0001.h5", "model.h5", "manifest.json"}) {
    fs::rename(newer_ + "/" + name, folder_ + "/away");
    ExpectOlder("missing file");
    fs::create_directory(newer_ + "/" + name);
    ExpectOlder("a folder in its place");
    fs::remove(newer_ + "/" + name);
    fs::create_symlink(folder_ + "/away", newer_ + "/" + name);
    if (std::string(name) != "manifest.json") ExpectOlder("a link in its place");
    fs::remove(newer_ + "/" + name);
    mkfifo((newer_ + "/" + name).c_str(), 0600);
    if (std::string(name) != "manifest.json") ExpectOlder("a pipe in its place");
    fs::remove(newer_ + "/" + name);
    fs::rename(folder_ + "/away", newer_ + "/" + name);
  }
  EXPECT_EQ(Load().value(), newer_);
}

// Every flipped bit of the manifest is found, and of the data when they are read. HDF5's own bytes
// do not matter to loading; verify finds them.
TEST_F(Faults, FlippedBits) {
  int verified = 0;
  for (const char* name : {"manifest.json", "shard_0000.h5", "shard_0001.h5", "model.h5"}) {
    const std::string path = newer_ + "/" + name, bytes = ReadBytes(path);
    for (uint64_t i = 0; i < 60; ++i) {
      const PhiloxWords random = Philox(7, HashName(name, std::strlen(name), 0), i);
      std::string damaged = bytes;
      damaged[random.w[0] % bytes.size()] ^= static_cast<char>(1 << random.w[1] % 8);
      WriteBytes(path, damaged);
      auto reader = CheckpointReader::Open(newer_);
      const bool found = !reader.ok() || !(*reader)->VerifyFiles([](const std::string&) {}).ok();
      EXPECT_TRUE(found) << name << " " << i;
      verified += found;
      const auto loaded = Load();
      ASSERT_TRUE(loaded.ok()) << loaded.status();
      if (std::string(name) == "manifest.json") {
        EXPECT_EQ(*loaded, older_);
      }
      ++tally_[std::string("flipped bit in ") + name];
      WriteBytes(path, bytes);
    }
  }
  EXPECT_EQ(verified, 240);
  // All data at once: each block's first bit.
  auto reader = CheckpointReader::Open(newer_).value();
  const Manifest manifest = reader->manifest();
  for (const FileRecord& file : manifest.files) {
    const std::string path = newer_ + "/" + file.name, bytes = ReadBytes(path);
    for (const Piece& piece : file.pieces) {
      std::string damaged = bytes;
      damaged[static_cast<size_t>(piece.offset)] ^= 1;
      WriteBytes(path, damaged);
      ExpectOlder("flipped bit in data");
    }
    WriteBytes(path, bytes);
  }
}

TEST_F(Faults, AllAreBad) {
  fs::remove(newer_ + "/shard_0001.h5");
  fs::resize_file(older_ + "/manifest.json", 100);
  const absl::Status status = Load().status();
  const std::string message(status.message());
  EXPECT_NE(message.find("none of 2 checkpoints is good"), std::string::npos) << message;
  EXPECT_NE(message.find(newer_ + "/shard_0001.h5: cannot open: No such file"), std::string::npos)
      << message;
  EXPECT_NE(message.find(older_ + "/manifest.json: damaged"), std::string::npos) << message;
}

TEST_F(Faults, StaleTemporaryFolders) {
  fs::copy(newer_, folder_ + "/step_00000030.tmp-0badcafe");
  fs::create_directories(folder_ + "/step_00000005.old-12");
  // Killed while a checkpoint of the same step was being replaced.
  fs::rename(older_, older_ + ".was-12");
  EXPECT_EQ(Load().value(), newer_);
  RemoveLeftovers(folder_);
  std::vector<std::string> paths;
  for (const CheckpointEntry& entry : ListCheckpoints(folder_)) paths.push_back(entry.path);
  EXPECT_EQ(paths, (std::vector<std::string>{newer_, older_}));
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), {}), 3) << "LATEST is the third";
}

// A shard of the whole, whose data begin with a call of `first`.
absl::Status WriteWhole(const std::string& folder, const std::function<void()>& first) {
  const std::vector<TensorRecord> tensors = SyntheticTensors();
  std::vector<ShardPiece> pieces;
  for (size_t i = 0; i < tensors.size(); ++i) {
    pieces.push_back(SyntheticPiece(tensors, static_cast<int>(i), 1, 1, 0, 30));
    pieces.back().fill = [=, fill = pieces.back().fill](int64_t begin, int64_t count,
                                                        std::byte* out) {
      first();
      return fill(begin, count, out);
    };
  }
  return WriteShard(folder, "shard_0000.h5", tensors, pieces, 256).status();
}

// A file that cannot grow any more once data are being written.
TEST_F(Faults, AWriteFailsInTheMiddle) {
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  for (const rlim_t limit : {0, 3000, 4096, 8192, 10000, 12000}) {
    const std::string temporary = folder_ + "/" + TemporaryName(30, std::to_string(limit));
    fs::create_directories(temporary);
    const rlimit small{.rlim_cur = limit, .rlim_max = before.rlim_max};
    const absl::Status status = WriteWhole(temporary, [&] { setrlimit(RLIMIT_FSIZE, &small); });
    setrlimit(RLIMIT_FSIZE, &before);
    EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << limit << status;
    EXPECT_EQ(Load().value(), newer_);
    ++tally_["a write that failed"];
  }
}

// On a tmpfs of so many bytes, mounted by a child in a mount namespace of its own.
TEST_F(Faults, TheDiskIsFull) {
  constexpr int kCannotMount = 77;
  for (const char* size : {"size=4k", "size=8k", "size=12k", "size=16k"}) {
    const std::string disk = folder_ + "/" + TemporaryName(40, size);
    fs::create_directories(disk);
    const pid_t child = fork();
    if (child == 0) {
      if (unshare(geteuid() == 0 ? CLONE_NEWNS : CLONE_NEWNS | CLONE_NEWUSER) != 0 ||
          mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
          mount("none", disk.c_str(), "tmpfs", 0, size) != 0)
        _exit(kCannotMount);
      const absl::Status status = WriteWhole(disk, [] {});
      _exit(status.code() == absl::StatusCode::kResourceExhausted ? 0 : 1);
    }
    int result = 0;
    waitpid(child, &result, 0);
    ASSERT_TRUE(WIFEXITED(result)) << "died of signal " << WTERMSIG(result);
    if (WEXITSTATUS(result) == kCannotMount) GTEST_SKIP() << "this user may not mount a small disk";
    EXPECT_EQ(WEXITSTATUS(result), 0) << size;
    EXPECT_EQ(Load().value(), newer_);
    ++tally_["a full disk"];
  }
}

TEST_F(Faults, AReadOnlyFolder) {
  fs::permissions(folder_, fs::perms(0555));
  const pid_t child = fork();
  if (child == 0) {
    // Root may write anywhere.
    if (geteuid() == 0 && setuid(65534) != 0) _exit(77);
    const bool refused = !MakeWritableFolder(folder_).ok() && !FolderLock::Take(folder_).ok() &&
                         !WriteWhole(folder_, [] {}).ok();
    _exit(refused ? 0 : 1);
  }
  int result = 0;
  waitpid(child, &result, 0);
  fs::permissions(folder_, fs::perms(0755));
  ASSERT_TRUE(WIFEXITED(result));
  EXPECT_EQ(WEXITSTATUS(result), 0);
  EXPECT_EQ(Load().value(), newer_);
}

TEST_F(Faults, HalfCoveredTensors) {
  Manifest manifest = CheckpointReader::Open(newer_).value()->manifest();
  ASSERT_TRUE(CheckCoverage(manifest).ok());
  Manifest twice = manifest;
  twice.files.push_back(twice.files[0]);
  EXPECT_NE(CheckCoverage(twice).message().find("stored twice"), absl::string_view::npos);
  Manifest missing = manifest;
  missing.files[0].pieces.pop_back();
  EXPECT_NE(CheckCoverage(missing).message().find("missing"), absl::string_view::npos);
  Manifest shifted = manifest;
  shifted.files[0].pieces[0].end -= 1;
  EXPECT_NE(CheckCoverage(shifted).message().find("missing"), absl::string_view::npos);
  Manifest overlapping = manifest;
  overlapping.tensors = {{"t", kWeightRole, DType::kF32, {4, 4}, 0}};
  const auto piece = [](Box box) {
    Piece p;
    p.box = box;
    p.end = box.elements();
    return p;
  };
  overlapping.files = {FileRecord{"f", 0, 0, {piece({{0, 0}, {2, 4}}), piece({{1, 0}, {2, 4}})}}};
  EXPECT_NE(CheckCoverage(overlapping).message().find("overlap"), absl::string_view::npos)
      << CheckCoverage(overlapping);
}

}  // namespace
}  // namespace tl
