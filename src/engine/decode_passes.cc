// SPDX-License-Identifier: Apache-2.0
#include "engine/decode_passes.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "kernels/cached_attention.h"
#include "kernels/top_k.h"

namespace tl {
namespace {

constexpr int64_t kWord = 4;           // bytes of an int32 or fp32
constexpr int64_t kInputColumns = 10;  // int32 for each row of a pass
constexpr size_t kSlots = 4;           // passes whose inputs may wait on the host

int64_t MostKeys(const DecodeBatch& batch) {
  int64_t most = 0;
  for (size_t i = 0; i < batch.prefix.size(); ++i) {
    int64_t keys = batch.prefix[i];
    for (size_t word = 0; word < 4; ++word)
      keys += std::popcount(static_cast<uint32_t>(batch.ancestors[4 * i + word]));
    most = std::max(most, keys);
  }
  return most;
}

int64_t LogitsBytes(const Model& model, int64_t logit_rows) {
  // This rank's part; what is gathered of it and of the others' is at most as much each.
  const int64_t ranks = model.geometry().tensor_size, parts = ranks > 1 ? 1 + ranks : 1;
  const int64_t local = model.objective().local_vocab();
  const int64_t largest = 2 * std::min(kMostTop, model.options().model.vocab) * (1 + ranks);
  return logit_rows * std::max(parts * local, local + largest) * kWord;
}

int64_t InputBytes(const Model& model) { return model.rows() * kInputColumns * kWord; }

}  // namespace

int64_t DecodePasses::Bytes(const Model& model, int64_t logit_rows) {
  return InputBytes(model) + LogitsBytes(model, logit_rows);
}

int64_t DecodePasses::ScratchBytes(const Model& model, int64_t cache_capacity, int64_t logit_rows) {
  if (model.options().device == DeviceType::kCpu) return 0;
  return std::max(model.plan().cached_scratch_bytes(cache_capacity),
                  TopKScratch(logit_rows, model.objective().local_vocab(), kMostTop));
}

DecodePasses::DecodePasses(Engine& engine, const KvCache& cache, int64_t logit_rows)
    : engine_(engine), model_(engine.model()), cache_(cache) {
  const Device device = engine.device();
  inputs_ = Buffer::Allocate(device, InputBytes(model_));
  logits_memory_ = Buffer::Allocate(device, LogitsBytes(model_, logit_rows));
  if (device.type == DeviceType::kCpu) return;
  host_inputs_ = Buffer::AllocateHost(device, kSlots * inputs_.size());
  inputs_read_.resize(kSlots);
  host_logits_ = Buffer::AllocateHost(device, logits_memory_.size());
  engine.stream().Scratch(ScratchBytes(model_, cache.capacity(), logit_rows));
}

Tensor DecodePasses::Upload(absl::Span<const absl::Span<const int32_t>> columns) {
  std::byte* host = inputs_.data();
  const bool pinned = host_inputs_.data() != nullptr;
  if (pinned) {
    host = host_inputs_.data() + next_slot_ * inputs_.size();
    Stream::Cpu().Wait(inputs_read_[next_slot_]);  // long past, but in long prompts
  }
  size_t bytes = 0;
  for (const auto& column : columns) {
    const size_t more = column.size() * sizeof(int32_t);
    TL_CHECK_LE(bytes + more, inputs_.size());
    std::memcpy(host + bytes, column.data(), more);
    bytes += more;
  }
  if (pinned) {
    CopyBytes(engine_.stream(), inputs_.data(), host, bytes);
    inputs_read_[next_slot_] = Event::Record(engine_.stream());
    next_slot_ = (next_slot_ + 1) % kSlots;
  }
  return Tensor::Contiguous(inputs_.data(), {static_cast<int64_t>(bytes) / kWord}, DType::kI32,
                            engine_.device());
}

Pass DecodePasses::LoadPass(const DecodeBatch& batch, CachedRows* cached) {
  const int64_t n = batch.rows();
  TL_CHECK(0 < n && n <= model_.rows()) << n << " rows of " << model_.rows();
  std::vector<int32_t> places;
  for (size_t i = 0; i < batch.sequences.size(); ++i)
    places.push_back(static_cast<int32_t>(batch.sequences[i] * cache_.capacity()) +
                     batch.indices[i]);
  const Tensor inputs = Upload({batch.tokens, batch.positions, batch.sequences, batch.indices,
                                places, batch.prefix, batch.ancestors});
  const auto column = [&](int64_t i) { return inputs.Slice(0, i * n, (i + 1) * n); };
  *cached = {.cache = &cache_,
             .sequences = column(2),
             .indices = column(3),
             .places = column(4),
             .prefix = column(5),
             .ancestors = inputs.Slice(0, 6 * n, 10 * n).Reshape({n, 4}),
             .most_keys = MostKeys(batch)};
  return {.inputs = {.batch = 1, .sequence_length = n, .tokens = column(0), .positions = column(1)},
          .mode = Decoding{cached}};
}

void DecodePasses::Decode(const DecodeBatch& batch, const DecodePart& part, RowLogits* logits) {
  CachedRows cached;
  Step step = engine_.MakeStep(LoadPass(batch, &cached));
  Trunk& trunk = model_.trunk();
  Residual in = part.in;
  if (part.first_layer == 0) {
    in = {.h = step.Slot(trunk.stem_slot()), .delta = {}};
    model_.stem().Forward(step, in.h);
  }
  const int64_t last = part.last_layer < 0 ? trunk.layers() : part.last_layer;
  const Taps taps = trunk.Forward(step, in, engine_.rope(), part.first_layer, last);
  if (part.out.h) {
    const int64_t n = batch.rows();
    for (int64_t i = 0; i < n; ++i) {
      const int64_t to = part.out_rows[static_cast<size_t>(i)];
      const auto copy = [&](Tensor out, Tensor from) {
        CopyBytes(engine_.stream(), out.Slice(0, to, to + 1).data, from.Slice(0, i, i + 1).data,
                  static_cast<size_t>(from.bytes() / n));
      };
      copy(part.out.h, taps.out.h);
      copy(part.out.delta, taps.out.delta);
    }
  }
  // Also where no logits are wanted: a main head may have attention, and thus a past, of its own.
  GatherLogits(
      step, part.logits_end - part.logits_begin, part.likeliest,
      [&](Tensor local) { model_.objective().Logits(step, taps, part.logits_begin, local); },
      logits);
}

void DecodePasses::Draft(int head, const DecodeBatch& batch, int64_t begin, int64_t end,
                         int64_t likeliest, RowLogits* logits) {
  CachedRows cached;
  Step step = engine_.MakeStep(LoadPass(batch, &cached));
  GatherLogits(
      step, end - begin, likeliest,
      [&](Tensor local) {
        model_.objective().DraftLogits(step, head, {.rope = engine_.rope()}, begin, local);
      },
      logits);
}

void DecodePasses::MoveRows(absl::Span<const int32_t> sequences, absl::Span<const int32_t> from,
                            absl::Span<const int32_t> to) {
  const auto n = static_cast<int64_t>(sequences.size());
  const Tensor moves = Upload({sequences, from, to});
  cache_.Move(engine_.stream(), moves.Slice(0, 0, n), moves.Slice(0, n, 2 * n),
              moves.Slice(0, 2 * n, 3 * n));
}

const int32_t* DecodePasses::ToHost(Tensor words) {
  if (words.device.type == DeviceType::kCpu) return words.as<int32_t>();
  const auto bytes = static_cast<size_t>(words.bytes());
  if (host_logits_.size() < bytes) host_logits_ = Buffer::AllocateHost(words.device, bytes);
  CopyBytes(engine_.stream(), host_logits_.data(), words.data, bytes);
  engine_.stream().Synchronize();
  return reinterpret_cast<const int32_t*>(host_logits_.data());
}

void DecodePasses::GatherLogits(Step& step, int64_t count, int64_t likeliest,
                                const std::function<void(Tensor)>& make, RowLogits* logits) {
  const int64_t local = model_.objective().local_vocab(), ranks = model_.geometry().tensor_size;
  const int64_t vocab = model_.options().model.vocab;
  TL_CHECK(0 <= likeliest && likeliest <= std::min(kMostTop, vocab)) << likeliest;
  const auto bytes = static_cast<size_t>(LogitsBytes(model_, count));
  if (logits_memory_.size() < bytes) logits_memory_ = Buffer::Allocate(engine_.device(), bytes);
  const Tensor memory = Tensor::Contiguous(logits_memory_.data(),
                                           {static_cast<int64_t>(logits_memory_.size()) / kWord},
                                           DType::kI32, engine_.device());
  int64_t used = 0;
  const auto take = [&](int64_t words) {
    used += words;
    return memory.Slice(0, used - words, used);
  };
  Tensor own = take(count * local);
  Tensor part = own.Reshape({count, local});
  part.dtype = DType::kF32;
  make(part);
  if (count == 0) return;
  if (likeliest > 0) {
    const int64_t first = engine_.mesh().tensor_rank() * local;
    own = take(2 * count * likeliest);
    Tensor values = own.Slice(0, 0, count * likeliest).Reshape({count, likeliest});
    values.dtype = DType::kF32;
    TopK(engine_.stream(),
         {.values = values,
          .ids = own.Slice(0, count * likeliest, 2 * count * likeliest).Reshape({count, likeliest}),
          .x = part.Slice(1, 0, std::clamp<int64_t>(vocab - first, 0, local))});
  }
  Tensor all = own;
  if (ranks > 1) {
    all = take(ranks * own.elements());
    step.tensor_group().AllGather(engine_.stream(), all, own);
  }
  const int32_t* const words = ToHost(all);
  const auto* const values = reinterpret_cast<const float*>(words);
  const int64_t width = likeliest > 0 ? likeliest : vocab;
  *logits = {.rows = count, .width = width, .stride = width};
  if (ranks == 1) {
    logits->values = values;
    if (likeliest > 0) {
      logits->ids = words + count * likeliest;
    } else {
      logits->stride = local;
    }
    return;
  }
  merged_logits_.resize(static_cast<size_t>(count * width));
  logits->values = merged_logits_.data();
  if (likeliest > 0) {
    merged_ids_.resize(merged_logits_.size());
    logits->ids = merged_ids_.data();
    MergeLargest(words, ranks, count, likeliest, local, merged_logits_.data(), merged_ids_.data());
    return;
  }
  for (int64_t rank = 0; rank < ranks; ++rank) {
    const int64_t valid = std::min(local, vocab - rank * local);
    for (int64_t row = 0; row < count && valid > 0; ++row)
      std::memcpy(merged_logits_.data() + row * vocab + rank * local,
                  values + (rank * count + row) * local,
                  static_cast<size_t>(valid) * sizeof(float));
  }
}

}  // namespace tl
