// SPDX-License-Identifier: Apache-2.0
// Preloaded into the program by tests. Takes SIGHUP as it is loaded, as UCX does, which Open MPI 5
// brings. What happens to the rank TL_PRELOAD_RANK:
//   TL_PRELOAD_ACT=throw    an exception when it syncs a file of a checkpoint
//                  hang     there, a call that does not return
//                  hang_output  the same when it syncs an output that has no name yet
//                  signal   SIGUSR1 as it starts MPI
#include <dlfcn.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <new>
#include <string>

namespace {

// Whether this rank is to do so.
bool Does(const char* what) {
  const char* act = std::getenv("TL_PRELOAD_ACT");
  const char* chosen = std::getenv("TL_PRELOAD_RANK");
  const char* rank = std::getenv("OMPI_COMM_WORLD_RANK");
  return act != nullptr && chosen != nullptr && std::strcmp(act, what) == 0 &&
         std::strcmp(chosen, rank ? rank : "0") == 0;
}

bool PathHas(int fd, const char* part) {
  char path[4096] = "";
  const std::string link = "/proc/self/fd/" + std::to_string(fd);
  return readlink(link.c_str(), path, sizeof(path) - 1) > 0 && std::strstr(path, part) != nullptr;
}
[[gnu::constructor]] void TakeHangup() {
  struct sigaction action{};
  action.sa_handler = [](int) {};
  sigaction(SIGHUP, &action, nullptr);
}

bool InCheckpoint(int fd) { return PathHas(fd, "/step_"); }

}  // namespace

extern "C" int fsync(int fd) {
  if (Does("throw") && InCheckpoint(fd)) throw std::bad_alloc();
  while (Does("hang") && InCheckpoint(fd)) pause();
  while (Does("hang_output") && PathHas(fd, ".tmp-trunkline-")) pause();
  return static_cast<int>(syscall(SYS_fsync, fd));
}

extern "C" int MPI_Init_thread(int* argc, char*** argv, int required, int* provided) {
  if (Does("signal")) raise(SIGUSR1);
  using Init = int(int*, char***, int, int*);
  return reinterpret_cast<Init*>(dlsym(RTLD_NEXT, "MPI_Init_thread"))(argc, argv, required,
                                                                      provided);
}
