// SPDX-License-Identifier: Apache-2.0
#include "train/signals.h"

#include <gtest/gtest.h>
#include <pthread.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <thread>
#include <vector>

#include "base/crash.h"
#include "kernels/matmul.h"

namespace tl {
namespace {

// oneDNN's products for AVX and AVX2 have the stack pointer in a buffer of the heap meanwhile: a
// handler that ran on the stack would write over what lies before it.
TEST(StopSignals, LeaveProductsAlone) {
  InstallCrashHandlers();
  InstallStopSignals();
  std::atomic<bool> done = false;
  const pthread_t main = pthread_self();
  std::thread sender([&] {
    while (!done) {
      pthread_kill(main, SIGUSR1);
      std::this_thread::sleep_for(std::chrono::microseconds(20));
    }
  });
  Stream stream = Stream::Cpu();
  int64_t products = 0;
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(2);
  while (std::chrono::steady_clock::now() < end) {
    for (const int64_t k : {16, 64, 512, 3000}) {
      std::vector<float> a(64 * k, 1.0f), b(64 * k, 2.0f), c(64 * 64);
      Matmul(stream, {.c = Tensor::Of(c.data(), {64, 64}),
                      .a = Tensor::Of(a.data(), {64, k}),
                      .b = Tensor::Of(b.data(), {64, k}),
                      .trans_b = Transpose::kYes});
      for (const float x : c) ASSERT_EQ(x, 2.0f * static_cast<float>(k)) << products;
      ++products;
    }
  }
  done = true;
  sender.join();
  EXPECT_EQ(StopSignal(), StopReason::kUser);
  EXPECT_GT(products, 0);
}

}  // namespace
}  // namespace tl
