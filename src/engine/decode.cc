#include "engine/decode.h"

#include <algorithm>
#include <cstring>

#include "engine/engine.h"

namespace tl {

KvCache Engine::MakeCache(int64_t sequences, int64_t capacity) const {
  return KvCache(plan_, options_.compute, options_.device, sequences, capacity);
}

int64_t Engine::CacheBytes(int64_t sequences, int64_t capacity) const {
  return KvCache::Bytes(plan_, options_.compute, sequences, capacity);
}

Tensor Engine::Upload(absl::Span<const absl::Span<const int32_t>> columns) {
  const size_t most = static_cast<size_t>(rows()) * 10;
  if (decode_inputs_.data() == nullptr)
    decode_inputs_ = Buffer::Allocate(stream_.device(), most * sizeof(int32_t));
  std::vector<int32_t> values;
  for (const auto& column : columns) values.insert(values.end(), column.begin(), column.end());
  TL_CHECK_LE(values.size(), most);
  const Tensor to = Tensor::Contiguous(decode_inputs_.data(), {static_cast<int64_t>(values.size())},
                                       DType::kI32, stream_.device());
  CopyBytes(stream_, to.data, reinterpret_cast<const std::byte*>(values.data()), to.bytes());
  return to;
}

Pass Engine::LoadDecodePass(const DecodeBatch& batch, const KvCache& cache, CachedRows* cached) {
  const int64_t n = batch.rows();
  TL_CHECK(0 < n && n <= rows()) << n << " rows of " << rows();
  std::vector<int32_t> places;
  for (size_t i = 0; i < batch.sequences.size(); ++i)
    places.push_back(static_cast<int32_t>(batch.sequences[i] * cache.capacity()) +
                     batch.indices[i]);
  const Tensor inputs = Upload({batch.tokens, batch.positions, batch.sequences, batch.indices,
                                places, batch.prefix, batch.ancestors});
  const auto column = [&](int64_t i) { return inputs.Slice(0, i * n, (i + 1) * n); };
  Pass pass;
  pass.batch = 1;
  pass.sequence_length = n;
  pass.tokens = column(0);
  pass.positions = column(1);
  *cached = {.cache = &cache,
             .sequences = column(2),
             .indices = column(3),
             .places = column(4),
             .prefix = column(5),
             .ancestors = inputs.Slice(0, 6 * n, 10 * n).Reshape({n, 4})};
  pass.cached = cached;
  return pass;
}

void Engine::Decode(const DecodeBatch& batch, const KvCache& cache, const DecodePart& part,
                    std::vector<float>* logits) {
  CachedRows cached;
  Step step(stream_, comm_stream_, mesh_, plan_, arena_.data(), weights_, nullptr, nullptr);
  step.Begin(LoadDecodePass(batch, cache, &cached));
  Residual residual = part.in;
  if (part.first_layer == 0) {
    residual = {.h = step.Slot(trunk_.stem_slot()), .delta = {}};
    stem_.Forward(step, residual.h);
  }
  const int64_t last = part.last_layer < 0 ? trunk_.layers() : part.last_layer;
  residual = trunk_.Forward(step, residual, part.first_layer, last);
  if (part.out.h) {
    const int64_t n = batch.rows();
    for (int64_t i = 0; i < n; ++i) {
      const int64_t to = part.out_rows[static_cast<size_t>(i)];
      const auto copy = [&](Tensor out, Tensor in) {
        CopyBytes(stream_, out.Slice(0, to, to + 1).data, in.Slice(0, i, i + 1).data,
                  static_cast<size_t>(in.bytes() / n));
      };
      copy(part.out.h, residual.h);
      copy(part.out.delta, residual.delta);
    }
  }
  // Also where no logits are wanted: a main head may have attention, and thus a past, of its own.
  GatherLogits(
      step, part.logits_end - part.logits_begin,
      [&](Tensor local) {
        objective_->Logits(step, {.out = residual, .rope = trunk_.rope()}, part.logits_begin,
                           local);
      },
      logits);
}

void Engine::Draft(int head, const DecodeBatch& batch, const KvCache& cache, int64_t begin,
                   int64_t end, std::vector<float>* logits) {
  CachedRows cached;
  Step step(stream_, comm_stream_, mesh_, plan_, arena_.data(), weights_, nullptr, nullptr);
  step.Begin(LoadDecodePass(batch, cache, &cached));
  GatherLogits(
      step, end - begin,
      [&](Tensor local) {
        objective_->DraftLogits(step, head, {.out = {}, .rope = trunk_.rope()}, begin, local);
      },
      logits);
}

void Engine::MoveRows(const KvCache& cache, absl::Span<const int32_t> sequences,
                      absl::Span<const int32_t> from, absl::Span<const int32_t> to) {
  const auto n = static_cast<int64_t>(sequences.size());
  const Tensor moves = Upload({sequences, from, to});
  cache.Move(stream_, moves.Slice(0, 0, n), moves.Slice(0, n, 2 * n), moves.Slice(0, 2 * n, 3 * n));
}

void Engine::GatherLogits(Step& step, int64_t count, const std::function<void(Tensor)>& make,
                          std::vector<float>* logits) {
  const int64_t local = objective_->local_vocab(), ranks = geometry_.tensor_size;
  const int64_t vocab = options_.model.vocab, part_size = count * local;
  const auto bytes = static_cast<size_t>((ranks + 1) * part_size) * sizeof(float);
  if (logits_memory_.size() < bytes) logits_memory_ = Buffer::Allocate(options_.device, bytes);
  const Tensor both = Tensor::Contiguous(logits_memory_.data(), {(ranks + 1) * part_size},
                                         DType::kF32, options_.device);
  const Tensor part = both.Slice(0, 0, part_size);
  const Tensor all = both.Slice(0, part_size, (ranks + 1) * part_size);
  make(part.Reshape({count, local}));
  if (count == 0) return;
  step.tensor_group().AllGather(stream_, all, part);
  std::vector<float> parts(static_cast<size_t>(ranks * part_size));
  CopyBytes(stream_, reinterpret_cast<std::byte*>(parts.data()), all.data,
            parts.size() * sizeof(float));
  stream_.Synchronize();
  logits->resize(static_cast<size_t>(count * vocab));
  for (int64_t rank = 0; rank < ranks; ++rank) {
    const int64_t valid = std::min(local, vocab - rank * local);
    for (int64_t row = 0; row < count && valid > 0; ++row)
      std::memcpy(logits->data() + row * vocab + rank * local,
                  parts.data() + (rank * count + row) * local,
                  static_cast<size_t>(valid) * sizeof(float));
  }
}

}  // namespace tl
