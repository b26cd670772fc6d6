// SPDX-License-Identifier: Apache-2.0
// Outputs that appear whole or not at all, however the process ends that makes them.
#include "base/temporary.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <climits>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <set>
#include <thread>

#include "base/crash.h"
#include "base/utf8.h"
#include "base/where.h"
#include "tests/data/temp_folder.h"

namespace {
bool g_locks_as_nfs = false;
}  // namespace

// In place of libc's. NFS makes locks of fcntl(2) of them, which for writing takes what is open for
// writing.
extern "C" int flock(int fd, int operation) noexcept {
  if (g_locks_as_nfs && (operation & LOCK_EX) != 0 &&
      (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY) {
    errno = EBADF;
    return -1;
  }
  return static_cast<int>(syscall(SYS_flock, fd, operation));
}

namespace tl {
namespace {

namespace fs = std::filesystem;

// An empty folder of the test's own.
std::string Fresh() {
  const std::string path =
      Folder() + "/" + testing::UnitTest::GetInstance()->current_test_info()->name();
  fs::remove_all(path);
  fs::create_directories(path);
  return path;
}

std::set<std::string> Names(const std::string& folder) {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder))
    names.insert(entry.path().filename().string());
  return names;
}

std::string Read(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

void Write(const std::string& path, const std::string& text) { std::ofstream(path) << text; }

void Fill(const Temporary& temporary) {
  ASSERT_TRUE(WriteAll(temporary.file(), "new", 3, temporary.path()).ok());
}

// Makes a file and a folder with files in it, and then does as `end` says, in a process of its own;
// how that ended.
int StatusOfChild(const std::string& dir, const std::function<void()>& end) {
  const pid_t child = fork();
  if (child == 0) {
    InstallEndSignals();
    const auto file = Temporary::MakeFile(dir + "/file");
    const auto folder = Temporary::MakeFolder(dir + "/folder");
    if (!file.ok() || !folder.ok()) _exit(1);
    for (int i = 0; i < 100; ++i) Write(folder->path() + "/part" + std::to_string(i), "data");
    end();
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return status;
}

TEST(Temporary, AppearsAtOnceOrNot) {
  const std::string dir = Fresh(), path = dir + "/file";
  Write(path, "old");
  {
    const auto gone = Temporary::MakeFile(path);
    ASSERT_TRUE(gone.ok()) << gone.status();
    Fill(*gone);
    EXPECT_EQ(Names(dir).size(), 2u);
  }
  EXPECT_EQ(Names(dir), (std::set<std::string>{"file"}));
  EXPECT_EQ(Read(path), "old");
  auto kept = Temporary::MakeFile(path);
  Fill(*kept);
  EXPECT_EQ(Read(path), "old");
  ASSERT_TRUE(kept->Commit().ok());
  EXPECT_EQ(Read(path), "new");

  // Its parents are made, a slash at the end is nothing, and an empty folder may be there.
  fs::create_directories(dir + "/a/empty");
  for (const char* name : {"/a/b/folder/", "/a/empty"}) {
    auto folder = Temporary::MakeFolder(dir + name);
    ASSERT_TRUE(folder.ok()) << folder.status();
    Write(folder->path() + "/part", "data");
    ASSERT_TRUE(folder->Commit().ok());
    EXPECT_EQ(Read(dir + name + "/part"), "data");
  }
  EXPECT_EQ(Names(dir), (std::set<std::string>{"a", "file"}));
}

TEST(Temporary, RefusesWhatIsOfAnotherKind) {
  const std::string dir = Fresh();
  fs::create_directories(dir + "/full/part");
  fs::create_directories(dir + "/empty");
  fs::create_symlink(dir + "/empty", dir + "/to_empty");
  fs::create_symlink(dir + "/nothing", dir + "/to_nothing");
  ASSERT_EQ(mkfifo((dir + "/fifo").c_str(), 0600), 0);
  Write(dir + "/file", "old");
  const auto before = Names(dir);
  for (const char* name : {"/full", "/empty", "/to_empty", "/to_nothing", "/fifo"}) {
    const auto made = Temporary::MakeFile(dir + name);
    ASSERT_FALSE(made.ok()) << name;
    EXPECT_NE(made.status().message().find(dir + name + ": expected a new name"), std::string::npos)
        << made.status();
    EXPECT_FALSE(ReplaceFile(dir + name, "text").ok()) << name;
  }
  for (const char* name : {"/full", "/to_empty", "/to_nothing", "/fifo", "/file"}) {
    const auto made = Temporary::MakeFolder(dir + name);
    ASSERT_FALSE(made.ok()) << name;
    EXPECT_EQ(made.status().message(), dir + name + ": exists; expected the name of a new folder");
  }
  EXPECT_EQ(Names(dir), before);
}

TEST(Temporary, ReplacesNothingThatCameMeanwhile) {
  const std::string dir = Fresh();
  auto file = Temporary::MakeFile(dir + "/file");
  auto folder = Temporary::MakeFolder(dir + "/folder");
  Write(dir + "/file", "another's");
  fs::create_directories(dir + "/folder");
  for (Temporary* made : {&*file, &*folder}) {
    const absl::Status status = made->Commit();
    EXPECT_NE(status.message().find(": made or replaced by something else meanwhile"),
              std::string::npos)
        << status;
  }
  EXPECT_EQ(Read(dir + "/file"), "another's");
}

// What a temporary's name ends with on this host.
std::string AtHost() { return "@" + HostName(); }

void MakeOlder(const std::string& path) {
  fs::last_write_time(path, fs::file_time_type::clock::now() - std::chrono::hours(25));
}

TEST(Temporary, RemovesLeftoversOfTheDeadAlone) {
  const std::string dir = Fresh(), own = dir + "/x.tmp-trunkline-";
  Write(own + "999999991" + AtHost(), "");
  Write(own + "999999992-3" + AtHost(), "");
  std::set<std::string> stay = {"x"};
  const auto keep = [&](const std::string& name) {
    stay.insert(fs::path(name).filename().string());
    return name;
  };
  fs::create_directories(keep(own + "999999993" + AtHost()) + "/part");  // where files are made
  const std::string lives = keep(own + "999999994" + AtHost());
  Write(lives, "");
  const int living = ::open(lives.c_str(), O_RDWR);
  ASSERT_EQ(::flock(living, LOCK_EX), 0);
  // Of people.
  for (const char* end : {"", "-", "-1", "1a", "1-", "1--2", "1@", "1-2-3", "@host"})
    Write(keep(own + end + (std::string(end) == "-1" ? AtHost() : "")), "");
  Write(keep(dir + "/x.tmp-20260101"), "");
  Write(keep(dir + "/y.tmp-trunkline-999999995" + AtHost()), "");
  fs::create_symlink(dir + "/y.tmp-trunkline-999999995" + AtHost(),
                     keep(own + "999999996" + AtHost()));
  // Of other hosts, and of none.
  Write(keep(own + "999999997@another"), "");
  Write(keep(own + "999999997"), "");
  Write(own + "999999998@another", "");
  MakeOlder(own + "999999998@another");

  auto made = Temporary::MakeFile(dir + "/x");
  ASSERT_TRUE(made.ok()) << made.status();
  // Another of this name finds that the first one lives.
  auto second = Temporary::MakeFile(dir + "/x");
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_NE(made->path(), second->path());
  EXPECT_TRUE(fs::exists(made->path()));
  ASSERT_TRUE(made->Commit().ok());
  EXPECT_FALSE(second->Commit().ok());
  ::close(living);
  keep(second->path());
  EXPECT_EQ(Names(dir), stay);
}

TEST(Temporary, RemovesLeftFoldersWhereItMakesFolders) {
  const std::string dir = Fresh(), own = dir + "/x.tmp-trunkline-";
  fs::create_directories(own + "999999991" + AtHost() + "/part");
  fs::create_directories(own + "999999992@another/part");
  Write(own + "999999993" + AtHost(), "");
  ASSERT_TRUE(Temporary::MakeFolder(dir + "/x").ok());
  EXPECT_EQ(Names(dir), (std::set<std::string>{"x.tmp-trunkline-999999992@another",
                                               "x.tmp-trunkline-999999993" + AtHost()}));
}

TEST(Temporary, LocksLeftoversAsNfsDoes) {
  const std::string dir = Fresh();
  Write(dir + "/x.tmp-trunkline-999999991" + AtHost(), "");
  g_locks_as_nfs = true;
  const auto made = Temporary::MakeFile(dir + "/x");
  const auto second = Temporary::MakeFile(dir + "/x");
  const auto folder = Temporary::MakeFolder(dir + "/y");
  g_locks_as_nfs = false;
  ASSERT_TRUE(made.ok() && second.ok() && folder.ok());
  std::set<std::string> names;
  for (const auto* temporary : {&made, &second, &folder})
    names.insert(fs::path((*temporary)->path()).filename().string());
  EXPECT_EQ(Names(dir), names);
}

TEST(Temporary, NamesMayBeAsLongAsTheFileSystemTakes) {
  const std::string dir = Fresh();
  std::string umlauts;
  while (umlauts.size() + 2 <= NAME_MAX) umlauts += "\xc3\xa4";
  const std::string a(NAME_MAX, 'a'), b = a.substr(0, NAME_MAX - 1) + "b";
  for (const std::string& name : {a, b, umlauts}) {
    auto file = Temporary::MakeFile(dir + "/" + name);
    ASSERT_TRUE(file.ok()) << file.status();
    const std::string temporary = fs::path(file->path()).filename().string();
    EXPECT_EQ(ValidUtf8Prefix(temporary), temporary.size());
    ASSERT_TRUE(file->Commit().ok());
  }
  ASSERT_TRUE(ReplaceFile(dir + "/" + a, "text").ok());
  EXPECT_EQ(Names(dir), (std::set<std::string>{a, b, umlauts}));
  // Leftovers of these names too go, and not those of the other.
  std::string left_a, left_b;
  {
    const auto of_a = Temporary::MakeFile(dir + "/" + a), of_b = Temporary::MakeFile(dir + "/" + b);
    left_a = of_a->path(), left_b = of_b->path();
  }
  EXPECT_NE(left_a.substr(0, left_a.find(".tmp-")), left_b.substr(0, left_b.find(".tmp-")));
  Write(left_a, "");
  Write(left_b, "");
  ASSERT_TRUE(Temporary::MakeFile(dir + "/" + a).ok());
  EXPECT_FALSE(fs::exists(left_a));
  EXPECT_TRUE(fs::exists(left_b));
}

TEST(Temporary, GoesWithASignal) {
  const std::string dir = Fresh();
  for (const int signal : {SIGHUP, SIGINT, SIGQUIT, SIGPIPE, SIGTERM, SIGUSR1, SIGXCPU}) {
    const int status = StatusOfChild(dir, [&] { raise(signal); });
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == signal) << signal << ": " << status;
    EXPECT_TRUE(Names(dir).empty()) << signal;
  }
  // On another thread.
  const int status = StatusOfChild(dir, [&] {
    pthread_t thread;
    pthread_create(
        &thread, nullptr,
        [](void*) -> void* {
          raise(SIGTERM);
          return nullptr;
        },
        nullptr);
    pthread_join(thread, nullptr);
    pause();
  });
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM) << status;
  EXPECT_TRUE(Names(dir).empty());
}

// While the handler runs on the main thread, as while checkpoints are written.
TEST(Temporary, OfAnotherThreadGoesWithASignal) {
  const std::string dir = Fresh();
  for (int turn = 0; turn < 4; ++turn) {
    const int status = StatusOfChild(dir, [&] {
      // None of which is durable, so that most of the time goes into making them.
      for (int thread = 0; thread < 8; ++thread) {
        std::thread([path = dir + "/out" + std::to_string(thread)] {
          for (;;) {
            if (!Temporary::MakeFile(path).ok()) _exit(2);
          }
        }).detach();
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
      raise(SIGTERM);
    });
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM) << status;
    EXPECT_TRUE(Names(dir).empty()) << *Names(dir).begin();
  }
}

TEST(Temporary, OutlivesASignalThatIsIgnored) {
  const std::string dir = Fresh();
  const auto before = std::signal(SIGHUP, SIG_IGN);
  const int status = StatusOfChild(dir, [&] {
    raise(SIGHUP);
    if (Names(dir).size() != 2) _exit(2);
  });
  std::signal(SIGHUP, before);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

TEST(Temporary, OfAKilledProcessGoesWithTheNext) {
  const std::string dir = Fresh();
  EXPECT_TRUE(WIFSIGNALED(StatusOfChild(dir, [] { raise(SIGKILL); })));
  EXPECT_EQ(Names(dir).size(), 2u);
  {
    ASSERT_TRUE(Temporary::MakeFile(dir + "/file").ok());
    ASSERT_TRUE(Temporary::MakeFolder(dir + "/folder").ok());
  }
  EXPECT_TRUE(Names(dir).empty());
}

TEST(Temporary, TellsTheLimitOnFiles) {
  const std::string dir = Fresh(), path = dir + "/file", text(5000, 'x');
  const auto handler = std::signal(SIGXFSZ, SIG_DFL);
  TakeFileSizeLimitAsError();
  struct rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const struct rlimit low = {.rlim_cur = 4096, .rlim_max = before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &low), 0);
  const absl::Status written = ReplaceFile(path, text), checked = CheckFileSizeLimit(path, 5000);
  const absl::Status fits = CheckFileSizeLimit(path, 4096);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(written.message(), path +
                                   ": cannot write: File too large: the limit on a file's size "
                                   "(ulimit -f) is 4096 bytes");
  EXPECT_EQ(checked.message(), path +
                                   ": cannot write up to 5000 bytes: the limit on a file's size "
                                   "(ulimit -f) is 4096 bytes");
  EXPECT_TRUE(fits.ok()) << fits;
  EXPECT_TRUE(Names(dir).empty());
}

}  // namespace
}  // namespace tl
