// SPDX-License-Identifier: Apache-2.0
// What breaks one of the driver's rules, and what keeps them.
#pragma once

#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/simt/control.h"

namespace tl {

// The one report that f gives must hold all the texts.
template <class F>
void ReportsOnce(const std::vector<std::string>& texts, const F& f) {
  simt::CollectReports collected;
  f();
  ASSERT_EQ(collected.reports().size(), 1u) << ::testing::PrintToString(collected.reports());
  for (const std::string& text : texts)
    EXPECT_NE(collected.reports()[0].find(text), std::string::npos) << collected.reports()[0];
}

// f returns the error of a call of the runtime, which reports one broken rule and leaves the error
// to cudaGetLastError, once.
template <class F>
void Refuses(cudaError_t error, const std::vector<std::string>& texts, const F& f) {
  cudaGetLastError();
  ReportsOnce(texts, [&] { EXPECT_EQ(f(), error); });
  EXPECT_EQ(cudaPeekAtLastError(), error);
  EXPECT_EQ(cudaGetLastError(), error);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
}

template <class F>
void Accepts(const F& f) {
  simt::CollectReports collected;
  EXPECT_EQ(f(), cudaSuccess);
  EXPECT_EQ(collected.reports(), std::vector<std::string>{});
}

// A stream of the device, by the runtime's own calls; the device becomes current.
inline cudaStream_t StreamOf(int device) {
  cudaStream_t stream = nullptr;
  EXPECT_EQ(cudaSetDevice(device), cudaSuccess);
  EXPECT_EQ(cudaStreamCreate(&stream), cudaSuccess);
  return stream;
}

// In a test program of its own, before anything asks for devices.
struct TwoDevices {
  TwoDevices() { setenv("TL_SIMT_DEVICES", "2", 1); }
};

}  // namespace tl
