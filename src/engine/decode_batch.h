// SPDX-License-Identifier: Apache-2.0
// What one decoding pass runs: rows, each one token of some sequence, and what is wanted of them.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "nn/block.h"

namespace tl {

// The keys that a row sees behind its prefix: see kernels/cached_attention.h.
using AncestorBits = std::array<int32_t, 4>;

inline void SetAncestor(AncestorBits& bits, int64_t j) {
  bits[static_cast<size_t>(j / 32)] |= static_cast<int32_t>(uint32_t{1} << (j % 32));
}

// Rows on the host. A row's key and value are put at its index before any row attends.
struct DecodeBatch {
  std::vector<int32_t> tokens, positions, sequences, indices, prefix, ancestors;

  int64_t rows() const { return static_cast<int64_t>(tokens.size()); }
  void Add(int32_t token, int64_t position, int64_t sequence, int64_t index, int64_t prefix_keys,
           const AncestorBits& bits) {
    tokens.push_back(token);
    positions.push_back(static_cast<int32_t>(position));
    sequences.push_back(static_cast<int32_t>(sequence));
    indices.push_back(static_cast<int32_t>(index));
    prefix.push_back(static_cast<int32_t>(prefix_keys));
    ancestors.insert(ancestors.end(), bits.begin(), bits.end());
  }
  void Append(const DecodeBatch& more) {
    const auto append = [](std::vector<int32_t>& a, const std::vector<int32_t>& b) {
      a.insert(a.end(), b.begin(), b.end());
    };
    append(tokens, more.tokens);
    append(positions, more.positions);
    append(sequences, more.sequences);
    append(indices, more.indices);
    append(prefix, more.prefix);
    append(ancestors, more.ancestors);
  }
  // Takes the first rows out of it.
  DecodeBatch TakeFirst(int64_t count) {
    const auto take = [&](std::vector<int32_t>& from, int64_t width) {
      std::vector<int32_t> first(from.begin(), from.begin() + count * width);
      from.erase(from.begin(), from.begin() + count * width);
      return first;
    };
    DecodeBatch first{.tokens = take(tokens, 1),
                      .positions = take(positions, 1),
                      .sequences = take(sequences, 1),
                      .indices = take(indices, 1),
                      .prefix = take(prefix, 1),
                      .ancestors = take(ancestors, 4)};
    return first;
  }
  // A token whose past is the whole of its sequence before it.
  void AddNext(int32_t token, int64_t position, int64_t sequence) {
    Add(token, position, sequence, position, position + 1, {});
  }
};

// A part of the layers, and of the rows whose logits are wanted.
struct DecodePart {
  int64_t first_layer = 0;
  int64_t last_layer = -1;  // exclusive; -1: all
  // The rows' residual stream before first_layer, where that is not 0: [rows, hidden].
  Residual in = {};
  // Where not null, receives it after the last layer: row i goes to row out_rows[i].
  Residual out = {};
  std::vector<int32_t> out_rows = {};
  // Of the rows [logits_begin, logits_end); the final norm and the head follow the last layer run.
  int64_t logits_begin = 0;
  int64_t logits_end = 0;
  // Of each of these rows the `likeliest` largest logits, at most kMostTop and the vocabulary; 0:
  // all. Found on the device, so that no others travel.
  int64_t likeliest = 0;
};

}  // namespace tl
