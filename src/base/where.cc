// SPDX-License-Identifier: Apache-2.0
#include "base/where.h"

#include <unistd.h>

#include <array>
#include <atomic>

#include "base/check.h"

namespace tl {
namespace {

std::atomic<int64_t> g_step = 0;
std::atomic<const char*> g_doing = nullptr;

// Text that grows in memory of a fixed size, without a call that a signal handler may not make.
class Line {
 public:
  Line(char* out, size_t size) : out_(out), size_(size) {}
  Line& operator<<(const char* text) {
    for (; *text != 0 && used_ + 1 < size_; ++text) out_[used_++] = *text;
    return *this;
  }
  Line& operator<<(int64_t number) {  // >= 0
    char digits[20];
    size_t n = sizeof(digits);
    digits[--n] = 0;
    do {
      digits[--n] = static_cast<char>('0' + number % 10);
      number /= 10;
    } while (number > 0 && n > 0);
    return *this << &digits[n];
  }
  size_t Finish() {
    if (size_ > 0) out_[used_] = 0;
    return used_;
  }

 private:
  char* out_;
  size_t size_;
  size_t used_ = 0;
};

}  // namespace

std::string HostName() {
  char name[256] = "";
  if (gethostname(name, sizeof(name) - 1) != 0) return "unknown";
  return name;
}

void SetStep(int64_t step) { g_step = step; }

Doing::Doing(const char* what) : before_(g_doing.exchange(what)) {}
Doing::~Doing() { g_doing = before_; }
const char* Doing::Now() { return g_doing; }

size_t WriteWhere(char* out, size_t size) {
  char host[256] = "";
  if (gethostname(host, sizeof(host) - 1) != 0) host[0] = 0;
  Line line(out, size);
  if (LogRank() >= 0) line << "rank " << LogRank() << " on ";
  line << (host[0] == 0 ? "unknown" : host);
  if (const int64_t step = g_step; step > 0) line << ", in step " << step;
  if (const char* doing = g_doing; doing != nullptr) line << ", " << doing;
  return line.Finish();
}

std::string Where() {
  std::array<char, 512> text;
  return std::string(text.data(), WriteWhere(text.data(), text.size()));
}

}  // namespace tl
