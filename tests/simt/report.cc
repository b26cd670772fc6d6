// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <cstdlib>
#include <set>

#include <unistd.h>

#include "tests/simt/machine.h"
#include "tests/simt/symbols.h"

namespace tl::simt {
namespace {

CollectReports* g_collector = nullptr;
constexpr size_t kMaxReports = 20;

std::string Triple(uint3 v) {
  return "(" + std::to_string(v.x) + "," + std::to_string(v.y) + "," + std::to_string(v.z) + ")";
}

}  // namespace

CollectReports::CollectReports() : outer_(g_collector) { g_collector = this; }
CollectReports::~CollectReports() { g_collector = outer_; }

bool CollectReports::Has(const std::string& text) const {
  for (const std::string& report : reports_)
    if (report.find(text) != std::string::npos) return true;
  return false;
}

void Report(const std::string& text) {
  if (g_collector == nullptr) {
    std::fprintf(stderr, "simt: %s\n", text.c_str());
    std::fflush(stderr);
    std::abort();
  }
  if (g_collector->reports_.size() < kMaxReports) g_collector->reports_.push_back(text);
}

std::string Where(void* code) {
  if (code == nullptr) return "?";
  char command[160];
  std::snprintf(command, sizeof(command), "addr2line -f -C -s -e /proc/%d/exe 0x%zx 2>&1", getpid(),
                reinterpret_cast<uintptr_t>(code) - LoadAddress());
  std::string out;
  if (FILE* pipe = popen(command, "r")) {
    char line[512];
    while (std::fgets(line, sizeof(line), pipe) != nullptr) {
      out += line;
      if (out.back() == '\n') out.back() = ' ';
    }
    pclose(pipe);
  }
  while (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

std::string Describe(const Thread& thread) {
  return "block " + Triple(g_block.index) + " thread " + Triple(thread.index);
}

void Complain(const std::string& text, void* site) {
  Thread* const self = g_thread;
  g_thread = nullptr;  // what follows is no kernel's work
  static std::set<std::pair<void*, void*>> seen;
  if (g_collector != nullptr && g_collector->reports().empty()) seen.clear();
  if (g_collector == nullptr || site == nullptr || seen.insert({site, g_block.kernel}).second) {
    std::string full = text;
    if (site != nullptr) full += "\n  at " + Where(static_cast<std::byte*>(site) - 1);
    if (self != nullptr) full += "\n  in " + Describe(*self) + " of " + Where(g_block.kernel);
    Report(full);
  }
  g_thread = self;
}

void Fail(const std::string& text, void* site) {
  Complain(text, site);
  DropKernel();
}

}  // namespace tl::simt
