// SPDX-License-Identifier: Apache-2.0
// Linear unembedding and cross-entropy as one operation, in chunks of tokens: logits are never
// whole, and their gradient is made in the same pass (Liger kernels; Wijmans et al. 2024 for the
// idea of not keeping logits). The vocabulary is divided over the tensor group; one small
// gather per chunk (RowStats: 16 bytes per token and rank) after a sum of the targets' logits.
//
//   z = y W^T;  loss_n = lse_n - z_{n, target} + z_loss lse_n^2;
//   d_y_n = scale sum_v dloss_n/dz_nv W_v,
// scale = *grad_scale, folded in since the gradient is made here. With a teacher it is the
// divergence from the teacher's distribution instead (kernels/distill.h), at the price of one more
// product and one more chunk of logits.
#pragma once

#include <string>

#include "kernels/cross_entropy.h"
#include "nn/whole_rows.h"

namespace tl {

// Tokens at a time where nobody says, by shape and device alone; vocab: the weight's rows on this
// rank.
//
// CPUs: as many as keep a chunk's logits within 128 MiB, in multiples of 64.
//
// GPUs: at least as many, and enough for the weight's fp32 gradient. Every chunk reads and writes
// it, 8 vocab hidden bytes, and makes three products of 2 rows vocab hidden FLOPs each. The times
// of the two are, whatever vocab and hidden, as
//   (8 vocab hidden / B) / (6 rows vocab hidden / F) = 4/3 (F / B) / rows.
// Taken are the fewest rows, in multiples of 256 up to 2048, that keep this under a tenth on a
// Hopper GPU. An H200's data sheet has B = 4.8e12 bytes/s, F = 989e12 FLOP/s in the 16-bit types
// and 67e12 in fp32: in 16 bits a tenth takes 2748 rows, so it is 2048 and 13 %; in fp32 it is 256.
int64_t LossChunk(DeviceType device, DType compute, int64_t vocab);

struct LmLossConfig {
  ParamSpec weight;   // [vocab, hidden], see VocabularySpec
  int64_t chunk = 0;  // tokens at a time; 0: see LossChunk
  double z_loss = 0.0;
  Plan::Use use = Plan::Use::kTrain;  // of the weight
  ParamSpec teacher = {};             // a teacher's weight; no parts: there is none
};

// Row n learns from row n + shift of another unembedding's input: its prediction of the same token
// from more of the text.
struct Teacher {
  Tensor y;  // [local rows, hidden]
  int64_t shift = 0;
};

struct LmLossArgs {
  Tensor y;                           // [local rows, hidden]
  Tensor d_y = {};                    // the same; null: no gradients
  Tensor targets;                     // int32 [rows], negative: masked
  Tensor losses;                      // fp32 [rows], 0 where masked
  Tensor greedy;                      // int32 [rows]: the most likely token
  Tensor rank;                        // int32 [rows]: see CrossEntropyMergeArgs
  const float* grad_scale = nullptr;  // on the device; with d_y
  // With d_y; null: the targets teach. Rows n for which there is no n + shift must be masked.
  Teacher teacher = {};
};

class LmLoss {
 public:
  LmLoss(LmLossConfig config, Geometry geometry);
  // Everything happens at the turning point between forward and backward pass.
  void Declare(Plan& plan);
  void Run(Step& step, const LmLossArgs& args);
  // logits: fp32 [rows of y, local vocabulary]; y whole, not divided.
  void Logits(Step& step, Tensor logits, Tensor y) const;

  int64_t local_vocab() const { return local_vocab_; }
  int64_t chunk() const { return chunk_; }

 private:
  // out.lse and what else is wanted of CrossEntropyMerge, from all ranks' slices of the logits.
  void Merge(Step& step, Tensor logits, CrossEntropyMergeArgs out) const;
  // The teacher's logits of the chunk that starts at row `begin`, and their lse, into their slots;
  // teacher.y: all ranks' rows.
  void RunTeacher(Step& step, const Teacher& teacher, int64_t begin, Tensor target_logit,
                  Tensor targets) const;

  LmLossConfig config_;
  Geometry geometry_;
  int64_t local_vocab_ = 0, chunk_ = 0;
  int64_t begin_ = 0, valid_ = 0;
  ParamId weight_ = -1, teacher_weight_ = -1;
  bool trains_weight_ = true;
  WholeRows y_full_, dy_full_, teacher_full_;
  SlotId logits_ = -1, d_logits_ = -1, target_logit_ = -1, stats_ = -1, all_stats_ = -1, lse_ = -1;
  SlotId teacher_logits_ = -1, teacher_lse_ = -1;
};

}  // namespace tl
