// SPDX-License-Identifier: Apache-2.0
// A text under way.
#pragma once

#include <cstdint>
#include <vector>

namespace tl {

struct Sequence {
  int64_t id = 0;    // its random numbers are drawn by it
  int64_t slot = 0;  // in the K/V cache
  std::vector<int32_t> tokens;
  int64_t prompt = 0;  // how many of them were given

  // The model sees tokens [start, size): all, until they outgrow the context.
  int64_t start = 0;
  // Of those, how many have their keys and values in the cache; never the last one.
  int64_t cached = 0;

  int64_t size() const { return static_cast<int64_t>(tokens.size()); }
  int64_t generated() const { return size() - prompt; }
  // The place of the last token, the one that is run next.
  int64_t position() const { return size() - 1 - start; }
};

// Makes room for the last token: a sequence longer than the context keeps the tokens that fit, one
// that has grown to its end the later half, and is read again from there. A function of the
// sequence's length and start alone, so that speculation changes nothing.
inline void FitContext(Sequence& sequence, int64_t context) {
  if (sequence.position() < context) return;
  const int64_t kept = sequence.position() == context ? context / 2 : context - 1;
  sequence.start = sequence.size() - 1 - kept;
  sequence.cached = 0;
}

}  // namespace tl
