// SPDX-License-Identifier: Apache-2.0
// Names what is enqueued while it lives, for profilers of GPUs (NVTX). Without a profiler, or
// without CUDA, it costs next to nothing.
#pragma once

namespace tl {

class ProfilerRange {
 public:
  explicit ProfilerRange(const char* name);
  ProfilerRange(const ProfilerRange&) = delete;
  ProfilerRange& operator=(const ProfilerRange&) = delete;
  ~ProfilerRange();
};

}  // namespace tl
