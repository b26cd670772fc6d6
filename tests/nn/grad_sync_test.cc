// SPDX-License-Identifier: Apache-2.0
// The counting of gradients over uses and micro-batches.
#include "nn/grad_sync.h"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

namespace tl {
namespace {

class GradSyncTest : public testing::Test {
 protected:
  GradSyncTest() {
    const auto declare = [&](const char* name) {
      return table_.Declare({.name = name, .parts = {{.name = name, .shape = {4, 5}}}});
    };
    tied_ = declare("tied");
    other_ = declare("other");
    EXPECT_EQ(declare("tied"), tied_);
    table_.Layout(1);  // a bucket each
    grads_.assign(static_cast<size_t>(table_.elements()), 0.0f);
    sync_ = std::make_unique<GradSync>(table_, mesh_, comm_,
                                       Tensor::Of(grads_.data(), {table_.elements()}));
  }
  bool Accumulates(ParamId id) {
    bool accumulate = false;
    sync_->Grad(id, &accumulate);
    return accumulate;
  }

  std::unique_ptr<Communicator> world_ = MakeSelfCommunicator();
  Mesh mesh_ = Mesh::Create(*world_, 1).value();
  Stream comm_ = Stream::Cpu(Stream::Mode::kAsync), stream_ = Stream::Cpu();
  ParamTable table_{1, 1, 0};
  ParamId tied_, other_;
  std::vector<float> grads_;
  std::unique_ptr<GradSync> sync_;
};

TEST_F(GradSyncTest, OnlyTheFirstAdditionOfAStepOverwrites) {
  for (int step = 0; step < 2; ++step) {
    sync_->BeginStep(2);
    EXPECT_FALSE(Accumulates(tied_));
    EXPECT_TRUE(Accumulates(tied_));
    EXPECT_FALSE(Accumulates(other_));
    EXPECT_TRUE(Accumulates(other_));
  }
}

TEST_F(GradSyncTest, CountsUsesTimesMicroBatches) {
  sync_->BeginStep(3);
  for (int i = 0; i < 3; ++i) {
    sync_->Done(tied_, stream_);
    sync_->Done(other_, stream_);
    sync_->Done(tied_, stream_);
  }
  sync_->Finish(stream_);
  EXPECT_DEATH(sync_->Done(tied_, stream_), "tied was added to more often than declared");
}

TEST_F(GradSyncTest, FindsAMissingGradient) {
  sync_->BeginStep(1);
  sync_->Done(tied_, stream_);
  sync_->Done(other_, stream_);
  EXPECT_DEATH(sync_->Finish(stream_), "a gradient of bucket 1 is missing: tied");
}

TEST_F(GradSyncTest, PlacesGradientsAsTheTableSays) {
  sync_->BeginStep(1);
  for (const ParamId id : {tied_, other_}) {
    bool accumulate = false;
    const Tensor grad = sync_->Grad(id, &accumulate);
    EXPECT_EQ(grad.as<float>(), grads_.data() + table_[id].offset);
    EXPECT_EQ(grad.shape, (Shape{4, 5}));
    int64_t begin = -1, end = -1;
    sync_->Part(table_[id].bucket, &begin, &end);
    EXPECT_EQ(begin, table_.buckets()[static_cast<size_t>(table_[id].bucket)].begin);
    EXPECT_EQ(end, table_.buckets()[static_cast<size_t>(table_[id].bucket)].end);
  }
}

}  // namespace
}  // namespace tl
