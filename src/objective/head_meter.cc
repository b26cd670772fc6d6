// SPDX-License-Identifier: Apache-2.0
#include "objective/head_meter.h"

#include "kernels/head_metrics.h"

namespace tl {

void HeadMeter::Declare(Plan& plan) {
  const Shape rows{geometry_.rows()};
  losses_ = plan.Slot("token_losses", rows, DType::kF32, Life::kForward);
  greedy_ = plan.Slot("greedy", rows, DType::kI32, Life::kForward);
  main_ = plan.Slot("main_greedy", rows, DType::kI32, Life::kForward);
  rank_ = plan.Slot("target_rank", rows, DType::kI32, Life::kForward);
  alive_ = plan.Slot("alive", rows, DType::kI32, Life::kForward);
}

void HeadMeter::Run(Step& step, LmLoss& loss, int head, Tensor y, Tensor d_y, Tensor teacher_y) {
  const int offset = head + 1;
  const Tensor targets = step.inputs().Targets(offset), losses = step.Slot(losses_);
  const Tensor greedy = step.Slot(head == 0 ? main_ : greedy_), rank = step.Slot(rank_);
  loss.Run(step, {.y = y,
                  .d_y = d_y,
                  .targets = targets,
                  .losses = losses,
                  .greedy = greedy,
                  .rank = rank,
                  .grad_scale = d_y ? &step.training()->scalars->grad_scale[head] : nullptr,
                  // The main head predicts the token at t + offset from position t + head.
                  .teacher = {.y = teacher_y, .shift = head}});
  HeadMetrics(step.stream(),
              {.sums = step.head_sums().Slice(0, head, head + 1).Reshape({kHeadSums}),
               .alive = step.Slot(alive_),
               .losses = losses,
               .targets = targets,
               .greedy = greedy,
               .rank = rank,
               .main = step.Slot(main_),
               .offset = offset,
               .sequence_length = step.inputs().sequence_length});
}

}  // namespace tl
