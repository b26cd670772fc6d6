// Names what is enqueued while it lives, for profilers of GPUs (NVTX). Without a profiler, or
// without CUDA, it costs next to nothing.
#pragma once

namespace tl {

class Range {
 public:
  explicit Range(const char* name);
  Range(const Range&) = delete;
  Range& operator=(const Range&) = delete;
  ~Range();
};

}  // namespace tl
