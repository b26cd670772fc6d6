// SPDX-License-Identifier: Apache-2.0
// Bank conflicts and sectors: each lane notes its accesses; where its warp meets, the n-th access
// of all lanes at one place in the code is taken for one instruction.
#include <algorithm>
#include <map>

#include "tests/simt/machine.h"

namespace tl::simt {
namespace {

constexpr int kBankBytes = 4;
constexpr int kBanks = 32;
constexpr int kSectorBytes = 32;

struct Note {
  void* site;
  uintptr_t address;
  uint32_t bytes;
  bool shared;
};

CountAccesses* g_counter = nullptr;
std::array<std::vector<Note>, kMaxThreads> g_notes;

template <class T>
int64_t Distinct(std::vector<T>& x) {
  std::sort(x.begin(), x.end());
  return std::unique(x.begin(), x.end()) - x.begin();
}

// Passes that the banks need for the lanes of one phase: as many as the most that any of them has
// different words.
int64_t Passes(const std::vector<std::pair<int, Note>>& lanes, int first, int end) {
  std::array<std::vector<uintptr_t>, kBanks> words;
  for (const auto& [lane, note] : lanes) {
    if (lane < first || lane >= end) continue;
    const uintptr_t last = (note.address + note.bytes - 1) / kBankBytes;
    for (uintptr_t word = note.address / kBankBytes; word <= last; ++word)
      words[word % kBanks].push_back(word);
  }
  int64_t most = 0;
  for (auto& bank : words) most = std::max(most, Distinct(bank));
  return most;
}

void CountInstruction(const std::vector<std::pair<int, Note>>& lanes, AccessCounts& counts) {
  const Note& any = lanes.front().second;
  if (any.shared) {
    // 32 lanes at once of up to 4 bytes, 16 of 8, 8 of 16.
    const int phase = any.bytes <= 4 ? 32 : any.bytes <= 8 ? 16 : 8;
    ++counts.shared_instructions;
    for (int lane = 0; lane < kWarp; lane += phase)
      counts.bank_conflicts += std::max<int64_t>(Passes(lanes, lane, lane + phase) - 1, 0);
    return;
  }
  std::vector<uintptr_t> sectors, bytes;
  for (const auto& [lane, note] : lanes) {
    for (uintptr_t i = note.address; i < note.address + note.bytes; ++i) {
      sectors.push_back(i / kSectorBytes);
      bytes.push_back(i);
    }
  }
  ++counts.global_instructions;
  counts.global_sectors += Distinct(sectors);
  counts.least_sectors += (Distinct(bytes) + kSectorBytes - 1) / kSectorBytes;
}

}  // namespace

void NoteAccess(const void* address, size_t bytes, bool shared, void* site) {
  if (g_counter == nullptr) return;
  g_notes[g_thread->linear].push_back(
      {site, reinterpret_cast<uintptr_t>(address), static_cast<uint32_t>(bytes), shared});
}

void CountWarp(int warp) {
  if (g_counter == nullptr) return;
  std::map<std::pair<void*, int>, std::vector<std::pair<int, Note>>> instructions;
  for (int lane = 0; lane < kWarp; ++lane) {
    std::map<void*, int> times;
    auto& notes = g_notes[warp * kWarp + lane];
    for (const Note& note : notes)
      instructions[{note.site, times[note.site]++}].push_back({lane, note});
    notes.clear();
  }
  AccessCounts& counts = g_counter->counts_[g_block.kernel];
  for (const auto& [key, lanes] : instructions) CountInstruction(lanes, counts);
}

CountAccesses::CountAccesses() : outer_(g_counter) { g_counter = this; }
CountAccesses::~CountAccesses() { g_counter = outer_; }

AccessCounts CountAccesses::Of(const std::string& kernel) const {
  AccessCounts sum;
  for (const auto& [function, counts] : counts_) {
    if (Where(function).find(kernel) == std::string::npos) continue;
    sum.shared_instructions += counts.shared_instructions;
    sum.bank_conflicts += counts.bank_conflicts;
    sum.global_instructions += counts.global_instructions;
    sum.global_sectors += counts.global_sectors;
    sum.least_sectors += counts.least_sectors;
  }
  return sum;
}

}  // namespace tl::simt
