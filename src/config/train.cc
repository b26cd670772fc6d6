// SPDX-License-Identifier: Apache-2.0
#include "config/train.h"

#include "config/section.h"

namespace tl {

const char* Name(Recompute recompute) {
  switch (recompute) {
    case Recompute::kNone:
      return "none";
    case Recompute::kSelective:
      return "selective";
    case Recompute::kFull:
      return "full";
  }
  return "?";
}

ConfigSection TrainSection() {
  SectionOf<TrainConfig> s("train", "length, batches and memory", &Config::train);
  s.Key("steps", &TrainConfig::steps, "optimizer steps of the whole schedule")
      .In(kCount)
      .Required()
      .Changes(AtResume::kSchedule)
      .Known({"train_iters", "max_iters", "max_steps"});
  s.Key("sequence_length", &TrainConfig::sequence_length,
        "tokens per sequence; with [model] shape: the patches of a sample, and need not be given")
      .In(kCount)
      .Required()
      .Where([](const Config& c) { return !c.model.of_values(); })
      .Changes(AtResume::kData)
      .Known({"seq_length", "seq_len", "block_size"});
  s.Key("global_batch_size", &TrainConfig::global_batch_size,
        "sequences per step, over all data ranks")
      .In(kCount)
      .Required();
  s.Key("micro_batch_size", &TrainConfig::micro_batch_size,
        "sequences per forward pass and data rank; the rest is accumulated")
      .In(kCount)
      .Required()
      .Known({"batch_size"});
  s.Key("seed", &TrainConfig::seed, "of initial weights, data order and dropout")
      .In(kZeroOrMore)
      .Changes(AtResume::kData);
  s.Key("eval_every", &TrainConfig::eval_every, "steps between evaluations; 0: only at the end")
      .In(kZeroOrMore)
      .Known({"eval_interval"});
  s.Key("eval_batches", &TrainConfig::eval_batches,
        "micro batches per data rank and evaluation; 0: the whole of [data] eval")
      .In(kZeroOrMore)
      .Known({"eval_iters"});
  s.Key("recompute", &TrainConfig::recompute,
        "activations made again in the backward pass instead of kept");
  s.Key("hidden_dropout", &TrainConfig::hidden_dropout,
        "part of the embeddings and of what attention and mlp of each block add that is dropped "
        "while training; nothing of a frozen trunk")
      .In({0, 0.99});
  s.Key("z_loss", &TrainConfig::z_loss, "weight of the squared log-sum-exp in the loss; 0: none")
      .In(kZeroOrMore);
  s.Key("loss_chunk", &TrainConfig::loss_chunk,
        "tokens whose logits exist at once; 0: by vocabulary and device, at least 2048 in 16 bits "
        "on GPUs")
      .In(kZeroOrMore);
  return s.Take();
}

}  // namespace tl
