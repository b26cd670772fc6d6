// SPDX-License-Identifier: Apache-2.0
// The main program of tests that run on several ranks. Every rank runs the same tests in the same
// order; the exit code is agreed, and what succeeds is printed by rank 0 alone.
#pragma once

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

#include "comm/communicator.h"
#include "comm/host.h"

namespace tl::test {

inline Communicator*& WorldPointer() {
  static Communicator* world = nullptr;
  return world;
}
inline Communicator& World() { return *WorldPointer(); }

class FailurePrinter : public testing::EmptyTestEventListener {
 public:
  explicit FailurePrinter(int rank) : rank_(rank) {}
  void OnTestStart(const testing::TestInfo& info) override {
    name_ = std::string(info.test_suite_name()) + "." + info.name();
  }
  void OnTestPartResult(const testing::TestPartResult& result) override {
    if (!result.failed()) return;
    std::printf("rank %d on %s: %s: %s:%d: %s\n", rank_, HostName().c_str(), name_.c_str(),
                result.file_name() == nullptr ? "" : result.file_name(), result.line_number(),
                result.message());
    std::fflush(stdout);
  }

 private:
  int rank_;
  std::string name_;
};

}  // namespace tl::test

int main(int argc, char** argv) {
  const std::unique_ptr<tl::Communicator> world = tl::MakeMpiWorld(&argc, &argv);
  tl::test::WorldPointer() = world.get();
  testing::InitGoogleTest(&argc, argv);
  if (world->rank() != 0) {
    testing::TestEventListeners& listeners = testing::UnitTest::GetInstance()->listeners();
    delete listeners.Release(listeners.default_result_printer());
    listeners.Append(new tl::test::FailurePrinter(world->rank()));
  }
  int32_t failed = RUN_ALL_TESTS();
  tl::Stream stream = tl::Stream::Cpu();
  world->AllReduce(stream, tl::Tensor::Of(&failed, {1}), tl::ReduceOp::kMax);
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
