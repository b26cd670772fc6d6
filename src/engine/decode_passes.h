// SPDX-License-Identifier: Apache-2.0
// Passes of decoding through an engine's model, and the memory that they need beside the engine's.
#pragma once

#include <functional>
#include <vector>

#include "engine/decode_batch.h"
#include "engine/engine.h"
#include "engine/logits.h"
#include "nn/kv_cache.h"

namespace tl {

class DecodePasses {
 public:
  // Of an engine whose model was declared for inference, one sequence of as many rows as a pass has
  // at most. Allocates for passes that ask for the logits of so many rows; one that asks for more
  // makes room for them then. Engine and cache outlive it.
  DecodePasses(Engine& engine, const KvCache& cache, int64_t logit_rows);
  // What it allocates on the device: inputs and logits; scratch of the kernels
  // of its passes.
  static int64_t Bytes(const Model& model, int64_t logit_rows);
  static int64_t ScratchBytes(const Model& model, int64_t cache_capacity, int64_t logit_rows);

  // Runs rows on top of what the cache holds. logits: the main head's, gathered over the tensor
  // group, of the rows and tokens asked for; the same bits on all ranks; may be null where no rows
  // are. A row's bits do not depend on the other rows.
  void Decode(const DecodeBatch& batch, const DecodePart& part, RowLogits* logits);
  // Runs draft head `head` of the objective on rows that Decode has run, see DraftLogits: logits of
  // the rows [begin, end) and their `likeliest` tokens, as Decode gives them.
  void Draft(int head, const DecodeBatch& batch, int64_t begin, int64_t end, int64_t likeliest,
             RowLogits* logits);
  // In every layer, row from[i] of sequences[i] goes to to[i]; one after the other. At most as many
  // as a pass has rows.
  void MoveRows(absl::Span<const int32_t> sequences, absl::Span<const int32_t> from,
                absl::Span<const int32_t> to);

 private:
  // The columns one behind the other on the device, in one copy; valid until the next.
  Tensor Upload(absl::Span<const absl::Span<const int32_t>> columns);
  // A pass over the rows; cached outlives it.
  Pass LoadPass(const DecodeBatch& batch, CachedRows* cached);
  // make: this rank's part of the logits, fp32 [count, local vocabulary].
  void GatherLogits(Step& step, int64_t count, int64_t likeliest,
                    const std::function<void(Tensor)>& make, RowLogits* logits);
  // The words on the host once the stream has made them; valid until the next call.
  const int32_t* ToHost(Tensor words);

  Engine& engine_;
  Model& model_;
  const KvCache& cache_;
  Buffer inputs_, logits_memory_;
  // Pinned, for a device.
  Buffer host_inputs_, host_logits_;
  std::vector<Event> inputs_read_;  // by slot of host_inputs_
  size_t next_slot_ = 0;
  // Of all ranks, where there are several.
  std::vector<float> merged_logits_;
  std::vector<int32_t> merged_ids_;
};

}  // namespace tl
