// SPDX-License-Identifier: Apache-2.0
#include "nn/lm_loss.h"

#include <algorithm>
#include <cmath>

#include "kernels/distill.h"
#include "kernels/matmul.h"
#include "nn/linear.h"

namespace tl {

int64_t LossChunk(DeviceType device, DType compute, int64_t vocab) {
  constexpr int64_t kLogitsBytes = int64_t{128} << 20, kStep = 256, kMost = 2048;
  constexpr double kBytesPerSecond = 4.8e12, kPart = 0.1;
  const int64_t fitting =
      std::max<int64_t>(64, kLogitsBytes / (vocab * static_cast<int64_t>(sizeof(float))) / 64 * 64);
  if (device == DeviceType::kCpu) return fitting;
  const double flops_per_second = compute == DType::kF32 ? 67e12 : 989e12;
  const double rows = 4.0 / 3.0 * flops_per_second / kBytesPerSecond / kPart;
  const int64_t enough = static_cast<int64_t>(std::ceil(rows / kStep)) * kStep;
  return std::max(fitting, std::min(enough, kMost));
}

LmLoss::LmLoss(LmLossConfig config, Geometry geometry)
    : config_(std::move(config)), geometry_(geometry) {
  const int64_t vocab = config_.weight.parts[0].shape[0];
  local_vocab_ = (vocab + geometry_.tensor_size - 1) / geometry_.tensor_size;
  chunk_ =
      std::min(geometry_.rows(),
               config_.chunk > 0 ? config_.chunk
                                 : LossChunk(geometry_.device, geometry_.compute, local_vocab_));
}

void LmLoss::Declare(Plan& plan) {
  const auto& g = geometry_;
  const Shape whole = config_.weight.parts[0].shape;
  weight_ = plan.Param(config_.weight, config_.use);
  trains_weight_ = plan.Trains(weight_, config_.use);
  plan.WeightProduct(weight_, config_.use);
  begin_ = std::min(plan.params().tensor_rank() * local_vocab_, whole[0]);
  valid_ = std::min(local_vocab_, whole[0] - begin_);
  plan.LossChunk(chunk_);
  const auto scope = plan.Enter();
  y_full_.Declare(plan, g, "y_full", whole[1], Life::kForward);
  if (plan.has_backward()) dy_full_.Declare(plan, g, "dy_full", whole[1], Life::kForward);
  logits_ = plan.Slot("logits", {chunk_, local_vocab_}, DType::kF32, Life::kForward);
  // In fp32 the gradient takes the logits' place; in a narrower type its rows would be strided
  // there, which makes the products slow.
  if (g.compute != DType::kF32)
    d_logits_ = plan.GradientSlot("d_logits", {chunk_, local_vocab_}, g.compute, Life::kForward);
  target_logit_ = plan.Slot("target_logit", {chunk_}, DType::kF32, Life::kForward);
  stats_ = plan.Slot("stats", {chunk_, 4}, DType::kF32, Life::kForward);
  all_stats_ = plan.Slot("all_stats", {g.tensor_size, chunk_, 4}, DType::kF32, Life::kForward);
  lse_ = plan.Slot("lse", {chunk_}, DType::kF32, Life::kForward);
  if (config_.teacher.parts.empty() || !plan.has_backward()) return;
  teacher_weight_ = plan.Param(config_.teacher, Plan::Use::kRead);
  plan.Product(MatmulFlops(1, whole[0], whole[1]), Plan::Gradients::kNone);
  teacher_full_.Declare(plan, g, "teacher_full", whole[1], Life::kForward);
  teacher_logits_ =
      plan.Slot("teacher_logits", {chunk_, local_vocab_}, DType::kF32, Life::kForward);
  teacher_lse_ = plan.Slot("teacher_lse", {chunk_}, DType::kF32, Life::kForward);
}

void LmLoss::Logits(Step& step, Tensor logits, Tensor y) const {
  Product(step, logits, y, step.Weight(weight_));
}

void LmLoss::Merge(Step& step, Tensor logits, CrossEntropyMergeArgs out) const {
  const int ranks = geometry_.tensor_size;
  const int64_t rows = logits.shape[0];
  Stream& stream = step.stream();
  out.all_stats = Tensor::Contiguous(step.Slot(all_stats_).data, {ranks, rows, 4}, DType::kF32,
                                     stream.device());
  const Tensor stats =
      ranks > 1 ? step.Slot(stats_).Slice(0, 0, rows) : out.all_stats.Reshape({rows, 4});
  CrossEntropyStats(stream, {.stats = stats,
                             .logits = logits,
                             .target_logit = out.target_logit,
                             .begin = begin_,
                             .valid = valid_});
  if (ranks > 1) step.tensor_group().AllGather(stream, out.all_stats, stats);
  CrossEntropyMerge(stream, out);
}

void LmLoss::RunTeacher(Step& step, const Teacher& teacher, int64_t begin, Tensor target_logit,
                        Tensor targets) const {
  const int64_t from = begin + teacher.shift;
  // The last rows of the batch have no teacher.
  const int64_t count = std::min(targets.shape[0], geometry_.rows() - from);
  if (count <= 0) return;
  const auto first = [&](const Tensor& t) { return t.Slice(0, 0, count); };
  const Tensor logits = first(step.Slot(teacher_logits_));
  Product(step, logits, teacher.y.Slice(0, from, from + count), step.Weight(teacher_weight_));
  Merge(step, logits,
        {.lse = first(step.Slot(teacher_lse_)),
         .all_stats = {},
         .target_logit = first(target_logit),
         .targets = first(targets)});
}

void LmLoss::Run(Step& step, const LmLossArgs& args) {
  const auto& g = geometry_;
  const bool training = static_cast<bool>(args.d_y);
  // Evaluations report the cross-entropy itself.
  const float z_loss = training ? static_cast<float>(config_.z_loss) : 0.0f;
  Stream& stream = step.stream();
  const Tensor y = y_full_.Gather(step, args.y);
  const Tensor dy_full = training ? dy_full_.Partial(step, args.d_y) : Tensor{};
  const Tensor weight = step.Weight(weight_);
  Teacher teacher = args.teacher;
  const bool taught = training && teacher.y;
  if (taught) teacher.y = teacher_full_.Gather(step, teacher.y);
  Step::GradTarget target{};
  if (training && trains_weight_) target = step.Grad(weight_);
  for (int64_t begin = 0; begin < g.rows(); begin += chunk_) {
    const int64_t end = std::min(g.rows(), begin + chunk_), rows = end - begin;
    const auto chunk = [&](const Tensor& t) { return t.Slice(0, begin, end); };
    const auto slot = [&](SlotId id) { return step.Slot(id).Slice(0, 0, rows); };
    const Tensor targets = chunk(args.targets);
    const Tensor logits = slot(logits_), target_logit = slot(target_logit_);
    Logits(step, logits, chunk(y));
    CrossEntropyTarget(stream, {.target_logit = target_logit,
                                .logits = logits,
                                .targets = targets,
                                .begin = begin_,
                                .valid = valid_});
    if (g.tensor_size > 1) step.tensor_group().AllReduce(stream, target_logit);
    const Tensor lse = slot(lse_), losses = chunk(args.losses);
    Merge(step, logits,
          {.lse = lse,
           .loss = taught ? Tensor{} : losses,
           .greedy = chunk(args.greedy),
           .rank = chunk(args.rank),
           .all_stats = {},
           .target_logit = target_logit,
           .targets = targets,
           .z_loss = z_loss});
    if (!training) continue;
    const Tensor d_logits = g.compute == DType::kF32 ? logits : slot(d_logits_);
    const Tensor grad_scale =
        Tensor::Contiguous(reinterpret_cast<std::byte*>(const_cast<float*>(args.grad_scale)), {1},
                           DType::kF32, stream.device());
    if (taught) {
      RunTeacher(step, teacher, begin, target_logit, targets);
      Distill(stream, {.d_logits = d_logits,
                       .loss = losses,
                       .logits = logits,
                       .lse = lse,
                       .teacher = slot(teacher_logits_),
                       .teacher_lse = slot(teacher_lse_),
                       .targets = targets,
                       .grad_scale = grad_scale,
                       .z_loss = z_loss,
                       .begin = begin_,
                       .valid = valid_});
      if (g.tensor_size > 1) step.tensor_group().AllReduce(stream, losses);
    } else {
      CrossEntropyGrad(stream, {.d_logits = d_logits,
                                .logits = logits,
                                .lse = lse,
                                .targets = targets,
                                .grad_scale = grad_scale,
                                .z_loss = z_loss,
                                .begin = begin_,
                                .valid = valid_});
    }
    Matmul(stream, {.c = chunk(dy_full), .a = d_logits, .b = weight});
    step.Progress();
    if (!target.grad) continue;
    Matmul(stream, {.c = target.grad,
                    .a = d_logits,
                    .b = chunk(y),
                    .trans_a = Transpose::kYes,
                    .beta = target.accumulate ? 1.0f : 0.0f});
    target.accumulate = true;
  }
  if (!training) return;
  dy_full_.Reduce(step, args.d_y);
  if (target.grad) step.GradDone(weight_);
}

}  // namespace tl
