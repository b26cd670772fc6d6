// SPDX-License-Identifier: Apache-2.0
// The bytes that a layout should take and send per rank, written out from the shape of the model
// and the algorithms' descriptions rather than taken from the code.
#pragma once

#include <algorithm>

#include "grid_run.h"
#include "kernels/cross_entropy.h"
#include "nn/batch.h"

namespace tl::test {

// D data ranks, T tensor ranks; B sequences of S tokens, or pictures of S patches, in a micro-batch,
// R = B S rows, r of them on one rank between the split products; e bytes per compute element.
struct Quantities {
  explicit Quantities(const Config& c, int ranks)
      : m(c.model),
        T(c.parallel.tensor),
        D(ranks / T),
        e(c.precision.compute == Precision::kFp32 ? 4 : 2),
        L(c.model.layers),
        H(c.model.hidden),
        F(c.model.ffn / T),
        d(c.model.head_dim_or_default()),
        q(c.model.heads / T * d),
        kv(std::max<int64_t>(1, c.model.kv_heads_or_default() / T) * d),
        V((c.model.vocab + T - 1) / T),
        P(c.model.of_values() ? c.model.patch_values() : 0),
        S(c.train.sequence_length),
        B(c.train.micro_batch_size),
        R(B * S),
        split(c.parallel.sequence && T > 1),
        r(split ? R / T : R),
        M(c.train.global_batch_size / (B * D)),
        chunk(c.train.loss_chunk),
        replicas(Replicas(c)),
        recompute(c.train.recompute) {}

  const ModelConfig& m;
  int64_t T, D, e, L, H;
  int64_t F;      // inner width on one rank
  int64_t d;      // of a head
  int64_t q, kv;  // width of the query heads, and of the key or value heads, on one rank
  int64_t V;      // rows of the embedding on one rank, padding included
  int64_t P;      // values of a patch; 0: the model is of tokens
  int64_t S, B, R;
  bool split;
  int64_t r;
  int64_t M;  // micro-batches
  int64_t chunk;
  int64_t replicas;
  Recompute recompute;
};

// Elements of the parameters on one rank, without alignment, and how many tensors they are.
inline int64_t LocalElements(const Quantities& s, int64_t* tensors) {
  int64_t block = s.H * (s.q + 2 * s.kv)                        // q, k, v
                  + s.q * s.H                                   // attention's output
                  + 3 * s.H * s.F                               // gate, up, down
                  + (s.P > 0 ? 6 * s.H * s.H / s.T : 2 * s.H);  // modulation, or norms
  int64_t block_tensors = s.P > 0 ? 5 : 6;
  if (s.m.qkv_bias) block += s.q + 2 * s.kv, block_tensors += 1;
  if (s.m.qk_norm) block += 2 * s.d, block_tensors += 2;
  if (s.P > 0) {
    *tensors = s.L * block_tensors + 10;
    return s.L * block + s.P * s.H + s.H                    // patches
           + kFeatures * s.H + s.H + (s.H + 1) * s.H / s.T  // time
           + (s.m.classes > 0 ? s.m.classes + 1 : 0) * s.H / s.T +
           2 * s.H * s.H / s.T  // final modulation
           + s.H * s.P + s.P;   // head
  }
  const int64_t matrices = s.m.tie_embeddings ? 1 : 2;
  *tensors = s.L * block_tensors + matrices + 1;
  return s.L * block + matrices * s.V * s.H + s.H;
}

// Activations start at multiples of 256 bytes; only the smallest are not such themselves.
inline int64_t Aligned(int64_t bytes) { return (bytes + 255) / 256 * 256; }

// What a denoiser keeps around its blocks: the stem's output, the final norm's input and output, the
// gradient at the head's values; the stream and what the last half-block adds to it where blocks
// keep nothing; all modulations, and what the conditioner made them of.
inline int64_t DenoiserBytes(const Quantities& s) {
  const int64_t streams = s.recompute == Recompute::kFull ? 5 : 3;
  return streams * s.r * s.H * s.e + Aligned(s.r * s.P * s.e) + Aligned(s.r * 4) +
         s.B * (6 * s.L + 2) * s.H * 4 + 2 * Aligned(s.B * s.H * s.e) +
         2 * Aligned(s.B * s.H / s.T * s.e);
}

// Activations kept for the backward pass: per block those of its two halves; around the blocks the
// stem's output, what the last half-block adds to the stream, the final norm's input and its
// output's gradient, and the stream itself where blocks keep nothing.
inline int64_t SavedBytes(const Quantities& s) {
  const int64_t stream = s.r * s.H * s.e, rstd = Aligned(s.r * 4);
  const int64_t lse = Aligned(s.R * s.q / s.d * 4);
  int64_t kept = 2 * rstd + s.R * (s.q + 2 * s.kv) * s.e  // q, k, v
                 + s.R * s.q * s.e + lse                  // o, log-sum-exp
                 + stream                                 // h between the halves
                 + s.R * 2 * s.F * s.e;                   // gate, up
  if (s.m.qk_norm) kept += s.R * (s.q + s.kv) * s.e + lse + Aligned(s.R * s.kv / s.d * 4);
  if (s.P > 0) kept += 2 * stream;  // what the halves add, for the gradients of their gates
  const int64_t cheap = 2 * stream + s.R * s.F * s.e;  // both norms' outputs, silu(gate) up
  if (s.recompute == Recompute::kNone) kept += cheap;
  if (s.recompute == Recompute::kFull) kept = 0;
  const int64_t inputs = (s.L - 1) * stream;  // the first block's is the stem's output
  if (s.P > 0) return s.L * kept + inputs + DenoiserBytes(s);
  const int64_t around = s.recompute == Recompute::kFull ? 5 : 4;
  return s.L * kept + inputs + around * stream + rstd;
}

// The most that is alive at once: everything kept, and beside it the loss, or one half of a block
// on its way forward or back.
inline int64_t PeakBytes(const Quantities& s) {
  const int64_t stream = s.r * s.H * s.e, whole = s.split ? s.R * s.H * s.e : 0;
  // A chunk's logits, their gradient where it is narrower than they are, statistics of this rank
  // and of all, the targets' logits, log-sum-exp; each token's loss, greedy token, the target's
  // rank and two more; the final norm's output; whole inputs and gradients.
  const int64_t logits = (4 + (s.e == 4 ? 0 : s.e)) * s.V;
  const int64_t loss = s.chunk * (logits + 16 + s.T * 16 + 8) + 5 * s.R * 4 + stream + 2 * whole;
  const bool selective = s.recompute == Recompute::kSelective;
  const bool full = s.recompute == Recompute::kFull;
  const int64_t act = s.R * s.F * s.e;
  const int64_t attention =
      s.R * (s.q + 2 * s.kv) * s.e + s.R * s.q * s.e + s.R * s.q / s.d * 4 + 3 * whole;
  const int64_t mlp = act + (selective ? act : 0) + 3 * whole;
  int64_t backward = std::max(attention, mlp) + 2 * stream + (selective ? stream : 0);
  int64_t forward = 2 * whole + (selective ? 2 * stream + act : 0);
  if (full) {  // One block's activations exist a second time.
    const int64_t again = 2 * Aligned(s.r * 4) + s.R * (s.q + 2 * s.kv) * s.e + s.R * s.q * s.e +
                          s.R * s.q / s.d * 4 + 2 * stream + s.R * 2 * s.F * s.e + act;
    backward += again;
    forward += again;
  }
  return SavedBytes(s) + std::max({loss, backward, forward});
}

// An all-reduce of b bytes over P ranks; small ones go to everyone directly.
inline int64_t AllReduceSent(int64_t P, int64_t b) {
  return b <= 8192 ? (P - 1) * b : 2 * (P - 1) * b / P;
}

// Bytes of all-reduces over the tensor group that a denoiser adds to its blocks', by micro-batch: the
// sum of all modulations, of B (6 L + 2) H numbers, forward, and of the gradient at the features of
// the noise; where rows are split, every layer's gradient of its modulation and the samples' losses.
inline int64_t ConditionerSent(const Quantities& s) {
  const auto sum = [&](int64_t numbers) { return AllReduceSent(s.T, s.B * numbers * 4); };
  const int64_t whole = sum((6 * s.L + 2) * s.H) + sum(s.H);
  return s.split ? whole + s.L * sum(6 * s.H) + sum(2 * s.H) + sum(1) : whole;
}

// Bytes that one rank sends in a step. elements: of the flat buffers.
inline SentBytes ExpectedSent(const Quantities& s, int64_t elements) {
  SentBytes sent{};
  const auto at = [&](Group group, CollectiveKind kind) -> int64_t& {
    return sent[group][static_cast<int>(kind)];
  };
  const int64_t P = s.D * s.T;
  // An agreement that the data was read, and the gradient's norm with the overflow count.
  at(kWorldGroup, CollectiveKind::kAllReduce) = (P - 1) * (4 + 8);
  // ZeRO-1: sums of fp32 gradients to their owners, weights back to all; counts of targets and
  // sums of heads.
  at(kDataGroup, CollectiveKind::kAllReduce) =
      (s.D - 1) * static_cast<int64_t>(8 + sizeof(HeadSums));
  at(kDataGroup, CollectiveKind::kReduceScatter) = (s.D - 1) * elements / s.D * 4;
  at(kDataGroup, CollectiveKind::kAllGather) = (s.D - 1) * elements / s.D * s.e;
  if (s.T == 1) return sent;

  const int64_t whole = s.R * s.H * s.e;  // one activation, all rows
  const int64_t again = s.recompute == Recompute::kFull ? 2 * s.L : 0;
  // Elements of weights whose gradient every rank has a part of: of norms, or of patches and head.
  int64_t shared = 0;
  if (s.split) shared += s.P > 0 ? 2 * s.P * s.H + s.H + s.P : (2 * s.L + 1) * s.H;
  if (s.m.qk_norm) shared += 2 * s.L * s.d;
  // Per block the sum after each half, forward and back; the embedding's and the loss's.
  const int64_t around = s.P > 0 ? 0 : 2;
  const int64_t sums = 4 * s.L + again + around;
  const int64_t part = (s.T - 1) * whole / s.T;
  const int64_t statistics = (s.T - 1) * s.R * static_cast<int64_t>(sizeof(RowStats));
  const int64_t target_logits = (s.T - 1) * s.R * 4;
  at(kTensorGroup, CollectiveKind::kAllReduce) =
      (s.T - 1) * shared * 4 + s.M * (s.P > 0 ? ConditionerSent(s) : target_logits);
  if (s.P == 0) at(kTensorGroup, CollectiveKind::kAllGather) = s.M * statistics;
  if (s.split) {
    // Per half: x forward, dy and x again backward; the embedding's gradient, the loss's input.
    const int64_t gathers = 6 * s.L + again + around;
    at(kTensorGroup, CollectiveKind::kReduceScatter) = s.M * sums * part;
    at(kTensorGroup, CollectiveKind::kAllGather) += s.M * gathers * part;
  } else {
    at(kTensorGroup, CollectiveKind::kAllReduce) += s.M * sums * AllReduceSent(s.T, whole);
  }
  // Key/value projections that several ranks hold.
  if (s.replicas > 1) {
    const int64_t block = 2 * s.kv * (s.H + (s.m.qkv_bias ? 1 : 0)) * 4;
    at(kReplicaGroup, CollectiveKind::kAllReduce) = s.L * AllReduceSent(s.replicas, block);
  }
  return sent;
}

}  // namespace tl::test
