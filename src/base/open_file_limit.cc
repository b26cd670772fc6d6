// SPDX-License-Identifier: Apache-2.0
#include "base/open_file_limit.h"

#include <sys/resource.h>

#include <algorithm>

namespace tl {

void RaiseOpenFileLimit() {
  constexpr rlim_t kMost = 1 << 16;  // libraries may go through all of them
  struct rlimit limit;
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  const rlim_t most = std::min(limit.rlim_max, kMost);  // RLIM_INFINITY is the largest
  if (limit.rlim_cur >= most) return;
  limit.rlim_cur = most;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace tl
