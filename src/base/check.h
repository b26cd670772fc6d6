// SPDX-License-Identifier: Apache-2.0
// CHECK macros for programmer errors: print file, line, rank and message, then end every rank.
// What the world can break (files, configs, networks) is an absl::Status instead, see status.h.
#pragma once

#include <sstream>
#include <string>

namespace tl {

// Called by Fatal; must not return. The communicator installs one that ends all ranks.
using FatalHandler = void (*)(int exit_code);
void SetFatalHandler(FatalHandler handler);
// Ends the job; a failed check calls it after its message was printed. Without a handler this
// process alone: std::abort() for kExitError, else it exits.
[[noreturn]] void Fatal(int exit_code);

// Sets the rank shown in messages of checks and logs; -1 (the default) shows none.
void SetLogRank(int rank);
int LogRank();

namespace internal {

class CheckFailure {
 public:
  CheckFailure(const char* file, int line, const char* condition);
  [[noreturn]] ~CheckFailure();
  std::ostream& stream() { return stream_; }

 private:
  std::ostringstream stream_;
};

}  // namespace internal
}  // namespace tl

#define TL_CHECK(condition)   \
  if (condition) [[likely]] { \
  } else                      \
    ::tl::internal::CheckFailure(__FILE__, __LINE__, #condition).stream()

#define TL_CHECK_EQ(a, b) TL_CHECK((a) == (b)) << (a) << " vs " << (b) << " "
#define TL_CHECK_LE(a, b) TL_CHECK((a) <= (b)) << (a) << " vs " << (b) << " "
#define TL_CHECK_LT(a, b) TL_CHECK((a) < (b)) << (a) << " vs " << (b) << " "
#define TL_CHECK_OK(expr)                                                   \
  if (const absl::Status tl_status_ = (expr); tl_status_.ok()) [[likely]] { \
  } else                                                                    \
    ::tl::internal::CheckFailure(__FILE__, __LINE__, #expr).stream() << tl_status_
