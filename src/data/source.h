// SPDX-License-Identifier: Apache-2.0
// Where training and evaluation get their samples from.
#pragma once

#include <atomic>
#include <cstdint>

#include "absl/status/status.h"
#include "nn/batch.h"

namespace tl {

// An endless (training) or finite (evaluation) numbered sequence of samples. A sample depends on
// its number and how the source was opened, and on nothing else: not on the number of ranks, not
// on which samples were read before. Any thread may read.
class DataSource {
 public:
  DataSource() = default;
  DataSource(const DataSource&) = delete;
  DataSource& operator=(const DataSource&) = delete;
  virtual ~DataSource() = default;

  // No other source of the process has or had it.
  int64_t id() const { return id_; }

  // Fills out with the samples first_sample .. first_sample + count - 1; lookahead >= 1. Which text
  // a sample starts at does not depend on lookahead. Reuses out's memory.
  virtual absl::Status FillBatch(int64_t first_sample, int64_t count, int64_t sequence_length,
                                 int64_t lookahead, HostBatch* out) const = 0;
  // The number of samples, or -1 when endless. Samples beyond it are wholly masked, so that ranks
  // may round up.
  virtual int64_t SampleCount(int64_t sequence_length) const = 0;

  virtual int64_t TokenCount() const = 0;  // of all files
  // Bytes of text per token over all files, 0 where a file does not say: bits per byte of a mean
  // loss in nats per token are loss / ln 2 / BytesPerToken(). Not weighted by blending.
  virtual double BytesPerToken() const = 0;

 private:
  static int64_t NextId() {
    static std::atomic<int64_t> ids = 0;
    return ++ids;
  }
  const int64_t id_ = NextId();
};

}  // namespace tl
