// What the tests of whole models share: random weights by name, batches with packed documents and
// masked targets, and the model families.
#pragma once

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "base/philox.h"
#include "data/source.h"
#include "model/config.h"
#include "tests/reference/block.h"

namespace tl {

struct NamedShape {
  std::string name;
  int64_t rows = 0, columns = 1;
};

// Every tensor of a model, as checkpoints name it.
inline std::vector<NamedShape> TensorShapes(const ModelConfig& m) {
  const int64_t d = m.head_dim_or_default(), q = m.heads * d, kv = m.kv_heads_or_default() * d;
  std::vector<NamedShape> shapes = {{"embedding.weight", m.vocab, m.hidden},
                                    {"final_norm.weight", m.hidden}};
  if (!m.tie_embeddings) shapes.push_back({"lm_head.weight", m.vocab, m.hidden});
  for (int64_t i = 0; i < m.layers; ++i) {
    const std::string block = "layers." + std::to_string(i), attention = block + ".attention";
    shapes.push_back({block + ".attention_norm.weight", m.hidden});
    shapes.push_back({block + ".mlp_norm.weight", m.hidden});
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
inline reference::Params RandomParams(const ModelConfig& model, DType dtype = DType::kF32) {
  const reference::Storage store{dtype};
  reference::Params params;
  for (const NamedShape& shape : TensorShapes(model)) {
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
};

// Samples first, first + 1, ...: random tokens, none of them a function of the batch's size.
inline HostBatch RandomBatch(const BatchOptions& o, int64_t first = 0) {
  HostBatch batch;
  batch.count = o.count;
  batch.sequence_length = o.length;
  batch.lookahead = 1;
  for (int64_t b = first; b < first + o.count; ++b) {
    const auto random = [&](int64_t t, int word) {
      return static_cast<int64_t>(
          Philox(99, static_cast<uint64_t>(b), static_cast<uint64_t>(t)).w[word]);
    };
    int32_t position = 0, segment = 0;
    for (int64_t t = 0; t <= o.length; ++t) {
      const auto token = static_cast<int32_t>(random(t, 0) % o.vocab);
      batch.tokens.push_back(token);
      const bool starts = o.packed && t > 0 && random(t, 1) % 5 == 0;
      if (t > 0) {
        const bool masked = starts || (o.masked && random(t, 2) % 3 == 0);
        batch.targets_storage.push_back(masked ? -1 : token);
      }
      if (t == o.length) break;
      position = starts ? 0 : position + (t > 0);
      segment += starts;
      batch.inputs.push_back(token);
      batch.positions.push_back(position);
      batch.segments.push_back(segment);
    }
  }
  return batch;
}

}  // namespace tl
