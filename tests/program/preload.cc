// Preloaded into the program by tests: what happens to the rank TL_PRELOAD_RANK when it syncs a
// file.
//   TL_PRELOAD_ACT=throw    an exception
//                  hang     a call that does not return
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <new>
#include <string>

namespace {

bool InCheckpoint(int fd) {
  char path[4096] = "";
  const std::string link = "/proc/self/fd/" + std::to_string(fd);
  return readlink(link.c_str(), path, sizeof(path) - 1) > 0 &&
         std::strstr(path, "/step_") != nullptr;
}

}  // namespace

extern "C" int fsync(int fd) {
  const char* act = std::getenv("TL_PRELOAD_ACT");
  const char* chosen = std::getenv("TL_PRELOAD_RANK");
  const char* rank = std::getenv("OMPI_COMM_WORLD_RANK");
  if (act != nullptr && chosen != nullptr && std::strcmp(chosen, rank ? rank : "0") == 0 &&
      InCheckpoint(fd)) {
    if (std::strcmp(act, "throw") == 0) throw std::bad_alloc();
    for (;;) pause();
  }
  return static_cast<int>(syscall(SYS_fsync, fd));
}
