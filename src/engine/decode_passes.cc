#include "engine/decode_batch.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "engine/engine.h"
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

}  // namespace

KvCache Engine::MakeCache(int64_t sequences, int64_t capacity) const {
  return KvCache(plan_, options_.compute, options_.device, sequences, capacity);
}

int64_t Engine::CacheBytes(int64_t sequences, int64_t capacity) const {
  return KvCache::Bytes(plan_, options_.compute, sequences, capacity);
}

int64_t Engine::LogitsBytes(int64_t logit_rows) const {
  // This rank's part; what is gathered of it and of the others' is at most as much each.
  const int64_t ranks = geometry_.tensor_size, parts = ranks > 1 ? 1 + ranks : 1;
  const int64_t local = objective_->local_vocab();
  const int64_t largest = 2 * std::min(kMostTop, options_.model.vocab) * (1 + ranks);
  return logit_rows * std::max(parts * local, local + largest) * kWord;
}

int64_t Engine::DecodeBytes(int64_t logit_rows) const {
  return rows() * kInputColumns * kWord + LogitsBytes(logit_rows);
}

int64_t Engine::DecodeScratchBytes(int64_t capacity, int64_t logit_rows) const {
  if (options_.device.type == DeviceType::kCpu) return 0;
  const ModelConfig& m = options_.model;
  return std::max({scratch_bytes(),
                   CachedAttentionScratch(rows(), m.heads / geometry_.tensor_size,
                                          m.head_dim_or_default(), capacity, m.sliding_window),
                   TopKScratch(logit_rows, objective_->local_vocab(), kMostTop)});
}

void Engine::AllocateDecoding(int64_t capacity, int64_t logit_rows) {
  const Device device = stream_.device();
  decode_inputs_ = Buffer::Allocate(device, rows() * kInputColumns * kWord);
  logits_memory_ = Buffer::Allocate(device, LogitsBytes(logit_rows));
  if (device.type == DeviceType::kCpu) return;
  host_decode_inputs_ = Buffer::AllocateHost(device, kSlots * decode_inputs_.size());
  decode_inputs_read_.resize(kSlots);
  host_logits_ = Buffer::AllocateHost(device, logits_memory_.size());
  stream_.Scratch(DecodeScratchBytes(capacity, logit_rows));
}

Tensor Engine::Upload(absl::Span<const absl::Span<const int32_t>> columns) {
  std::byte* host = decode_inputs_.data();
  const bool pinned = host_decode_inputs_.data() != nullptr;
  if (pinned) {
    host = host_decode_inputs_.data() + next_decode_slot_ * decode_inputs_.size();
    Stream::Cpu().Wait(decode_inputs_read_[next_decode_slot_]);  // long past, but in long prompts
  }
  size_t bytes = 0;
  for (const auto& column : columns) {
    const size_t more = column.size() * sizeof(int32_t);
    TL_CHECK_LE(bytes + more, decode_inputs_.size());
    std::memcpy(host + bytes, column.data(), more);
    bytes += more;
  }
  if (pinned) {
    CopyBytes(stream_, decode_inputs_.data(), host, bytes);
    decode_inputs_read_[next_decode_slot_] = Event::Record(stream_);
    next_decode_slot_ = (next_decode_slot_ + 1) % kSlots;
  }
  return Tensor::Contiguous(decode_inputs_.data(), {static_cast<int64_t>(bytes) / kWord},
                            DType::kI32, stream_.device());
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
             .ancestors = inputs.Slice(0, 6 * n, 10 * n).Reshape({n, 4}),
             .most_keys = MostKeys(batch)};
  pass.cached = cached;
  return pass;
}

void Engine::Decode(const DecodeBatch& batch, const KvCache& cache, const DecodePart& part,
                    RowLogits* logits) {
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
      step, part.logits_end - part.logits_begin, part.likeliest,
      [&](Tensor local) {
        objective_->Logits(step, {.out = residual, .rope = trunk_.rope()}, part.logits_begin,
                           local);
      },
      logits);
}

void Engine::Draft(int head, const DecodeBatch& batch, const KvCache& cache, int64_t begin,
                   int64_t end, int64_t likeliest, RowLogits* logits) {
  CachedRows cached;
  Step step(stream_, comm_stream_, mesh_, plan_, arena_.data(), weights_, nullptr, nullptr);
  step.Begin(LoadDecodePass(batch, cache, &cached));
  GatherLogits(
      step, end - begin, likeliest,
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

const int32_t* Engine::ToHost(Tensor words) {
  if (words.device.type == DeviceType::kCpu) return words.as<int32_t>();
  const auto bytes = static_cast<size_t>(words.bytes());
  if (host_logits_.size() < bytes) host_logits_ = Buffer::AllocateHost(words.device, bytes);
  CopyBytes(stream_, host_logits_.data(), words.data, bytes);
  stream_.Synchronize();
  return reinterpret_cast<const int32_t*>(host_logits_.data());
}

void Engine::GatherLogits(Step& step, int64_t count, int64_t likeliest,
                          const std::function<void(Tensor)>& make, RowLogits* logits) {
  const int64_t local = objective_->local_vocab(), ranks = geometry_.tensor_size;
  const int64_t vocab = options_.model.vocab;
  TL_CHECK(0 <= likeliest && likeliest <= std::min(kMostTop, vocab)) << likeliest;
  const auto bytes = static_cast<size_t>(LogitsBytes(count));
  if (logits_memory_.size() < bytes) logits_memory_ = Buffer::Allocate(options_.device, bytes);
  const Tensor memory = Tensor::Contiguous(logits_memory_.data(),
                                           {static_cast<int64_t>(logits_memory_.size()) / kWord},
                                           DType::kI32, options_.device);
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
    const int64_t first = mesh_.tensor_rank() * local;
    own = take(2 * count * likeliest);
    Tensor values = own.Slice(0, 0, count * likeliest).Reshape({count, likeliest});
    values.dtype = DType::kF32;
    TopK(stream_,
         {.values = values,
          .ids = own.Slice(0, count * likeliest, 2 * count * likeliest).Reshape({count, likeliest}),
          .x = part.Slice(1, 0, std::clamp<int64_t>(vocab - first, 0, local))});
  }
  Tensor all = own;
  if (ranks > 1) {
    all = take(ranks * own.elements());
    step.tensor_group().AllGather(stream_, all, own);
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
