// SPDX-License-Identifier: Apache-2.0
// What the tests of whole models share: random weights by name, batches with packed documents and
// masked targets, and the model families.
#pragma once

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "base/philox.h"
#include "config/model.h"
#include "nn/batch.h"
#include "objective/medusa.h"
#include "objective/sequential_mtp.h"
#include "tests/reference/block.h"

namespace tl {

struct NamedShape {
  std::string name;
  int64_t rows = 0, columns = 1;
};

// Every tensor of a model with its heads, as checkpoints name it.
inline std::vector<NamedShape> TensorShapes(const ModelConfig& m, const ObjectiveConfig& o = {}) {
  const int64_t d = m.head_dim_or_default(), q = m.heads * d, kv = m.kv_heads_or_default() * d;
  std::vector<NamedShape> shapes;
  if (m.of_values()) {
    shapes = {{"patches.weight", m.hidden, m.patch_values()},
              {"patches.bias", m.hidden},
              {"time.in.weight", m.hidden, kFeatures},
              {"time.in.bias", m.hidden},
              {"time.out.weight", m.hidden, m.hidden},
              {"time.out.bias", m.hidden},
              {"final_modulation.weight", 2 * m.hidden, m.hidden},
              {"head.weight", m.patch_values(), m.hidden},
              {"head.bias", m.patch_values()}};
    if (m.classes > 0) shapes.push_back({"labels.weight", m.classes + 1, m.hidden});
  } else {
    shapes = {{"embedding.weight", m.vocab, m.hidden}, {"final_norm.weight", m.hidden}};
  }
  if (!m.tie_embeddings) shapes.push_back({"lm_head.weight", m.vocab, m.hidden});
  std::vector<std::string> blocks;
  for (int64_t i = 0; i < TrunkLayers(o, m.layers); ++i)
    blocks.push_back("layers." + std::to_string(i));
  if (o.name == "independent_heads") {
    for (int64_t i = 1; i <= HeadCount(o); ++i) blocks.push_back("heads." + std::to_string(i));
  } else if (o.name == "sequential_mtp") {
    const auto mtp = SettingsOf<SequentialMtpSettings>(o);
    for (int64_t k = 1; k <= (mtp.share_weights ? 1 : mtp.depth); ++k) {
      const std::string name = "mtp." + std::to_string(k);
      for (const char* norm :
           {".hidden_norm.weight", ".embedding_norm.weight", ".final_norm.weight"})
        shapes.push_back({name + norm, m.hidden});
      shapes.push_back({name + ".projection.weight", m.hidden, 2 * m.hidden});
      blocks.push_back(name + ".block");
    }
  } else if (o.name == "medusa") {
    const auto medusa = SettingsOf<MedusaSettings>(o);
    for (int64_t k = 1; k <= medusa.heads; ++k) {
      const std::string name = "medusa." + std::to_string(k);
      for (int64_t i = 0; i < medusa.residual_layers; ++i) {
        const std::string layer = name + ".blocks." + std::to_string(i);
        shapes.push_back({layer + ".weight", m.hidden, m.hidden});
        shapes.push_back({layer + ".bias", m.hidden});
      }
      if (medusa.own_unembedding) shapes.push_back({name + ".lm_head.weight", m.vocab, m.hidden});
    }
  }
  for (const std::string& block : blocks) {
    const std::string attention = block + ".attention";
    if (m.of_values()) {
      shapes.push_back({block + ".modulation.weight", 6 * m.hidden, m.hidden});
    } else {
      shapes.push_back({block + ".attention_norm.weight", m.hidden});
      shapes.push_back({block + ".mlp_norm.weight", m.hidden});
    }
    shapes.push_back({attention + ".q.weight", q, m.hidden});
    shapes.push_back({attention + ".k.weight", kv, m.hidden});
    shapes.push_back({attention + ".v.weight", kv, m.hidden});
    shapes.push_back({attention + ".out.weight", m.hidden, q});
    shapes.push_back({block + ".mlp.gate.weight", m.ffn, m.hidden});
    shapes.push_back({block + ".mlp.up.weight", m.ffn, m.hidden});
    shapes.push_back({block + ".mlp.down.weight", m.hidden, m.ffn});
    if (m.qkv_bias) {
      shapes.push_back({attention + ".q.bias", q});
      shapes.push_back({attention + ".k.bias", kv});
      shapes.push_back({attention + ".v.bias", kv});
    }
    if (m.qk_norm) {
      shapes.push_back({attention + ".q_norm.weight", d});
      shapes.push_back({attention + ".k_norm.weight", d});
    }
  }
  return shapes;
}

// Values of unit size through the model, exactly representable in dtype.
inline reference::Params RandomParams(const ModelConfig& model, DType dtype = DType::kF32,
                                      const ObjectiveConfig& objective = {}) {
  const reference::Storage store{dtype};
  reference::Params params;
  for (const NamedShape& shape : TensorShapes(model, objective)) {
    const std::string& name = shape.name;
    const bool bias = name.find(".bias") != std::string::npos;
    const bool norm = shape.columns == 1 && !bias;
    const bool table = shape.rows == model.vocab && !norm && !bias;
    const double std = norm || bias ? 0.2
                       : table      ? 0.3
                                    : 1.0 / std::sqrt(static_cast<double>(shape.columns));
    const uint64_t key = HashName(name.data(), name.size(), 17);
    reference::Doubles& values = params[name];
    for (int64_t i = 0; i < shape.rows * shape.columns; ++i)
      values.push_back(
          store((norm ? 1.0 : 0.0) + std * PhiloxNormal(key, static_cast<uint64_t>(i))));
  }
  return params;
}

struct BatchOptions {
  int64_t count = 2, length = 8, vocab = 0;
  bool packed = false;  // several documents per row
  bool masked = false;  // about every third target
  int64_t lookahead = 1;
};

// Samples first, first + 1, ...: random tokens, none of them a function of the batch's size.
inline HostBatch RandomBatch(const BatchOptions& o, int64_t first = 0) {
  HostBatch batch;
  batch.first_sample = first;
  batch.count = o.count;
  batch.sequence_length = o.length;
  batch.lookahead = o.lookahead;
  batch.targets_storage.resize(static_cast<size_t>(o.lookahead * o.count * o.length));
  for (int64_t b = 0; b < o.count; ++b) {
    const auto random = [&](int64_t t, int word) {
      return static_cast<int64_t>(
          Philox(99, static_cast<uint64_t>(first + b), static_cast<uint64_t>(t)).w[word]);
    };
    const auto token = [&](int64_t t) { return static_cast<int32_t>(random(t, 0) % o.vocab); };
    const auto starts = [&](int64_t t) { return o.packed && t > 0 && random(t, 1) % 5 == 0; };
    for (int64_t t = 0; t < o.length + o.lookahead; ++t) batch.tokens.push_back(token(t));
    int32_t position = 0, segment = 0;
    for (int64_t t = 0; t < o.length; ++t) {
      position = starts(t) ? 0 : position + (t > 0);
      segment += starts(t);
      batch.inputs.push_back(token(t));
      batch.positions.push_back(position);
      batch.segments.push_back(segment);
      bool other_document = false;
      for (int64_t k = 1; k <= o.lookahead; ++k) {
        other_document |= starts(t + k);
        const bool masked = other_document || (o.masked && random(t + k, 2) % 3 == 0);
        batch.targets_storage[static_cast<size_t>(((k - 1) * o.count + b) * o.length + t)] =
            masked ? -1 : token(t + k);
      }
    }
  }
  return batch;
}

// Samples first, first + 1, ... of values: what an objective's Prepare makes. Every third of them
// does not count.
inline HostBatch RandomSamples(const ModelConfig& m, int64_t count, int64_t first = 0) {
  HostBatch batch;
  batch.first_sample = first;
  batch.count = count;
  batch.sequence_length = m.patches();
  const int64_t size = m.patches() * m.patch_values();
  for (int64_t b = first; b < first + count; ++b) {
    const auto fill = [&](std::vector<float>& values, int64_t n, uint64_t key) {
      for (int64_t i = 0; i < n; ++i)
        values.push_back(PhiloxNormal(key, static_cast<uint64_t>(b * n + i)));
    };
    fill(batch.noisy, size, 21);
    fill(batch.target, size, 22);
    fill(batch.features, kFeatures, 23);
    const bool counts = b % 3 != 1;
    batch.weight.push_back(counts ? 0.5f + 0.25f * static_cast<float>(b % 5) : 0.0f);
    batch.range.push_back(counts ? static_cast<int32_t>(b % 4) : -1);
    batch.labels.push_back(b % 4 == 3 ? -1
                                      : static_cast<int32_t>(b % std::max<int64_t>(1, m.classes)));
  }
  return batch;
}

}  // namespace tl
