// SPDX-License-Identifier: Apache-2.0
// Twins of the layers in src/nn in plain fp64 loops, forward and backward, each keeping what its
// backward pass needs. With a storage type other than fp64 every tensor that the product stores in
// its compute type is rounded to it: the naive low precision that bounds the product's.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "config/model.h"
#include "device/dtype.h"
#include "nn/dropout.h"
#include "tests/reference/attention.h"
#include "tests/reference/dropout.h"
#include "tests/reference/matmul.h"
#include "tests/reference/norm.h"
#include "tests/reference/rope.h"
#include "tests/reference/swiglu.h"

namespace tl::reference {

using Doubles = std::vector<double>;
using Params = std::map<std::string, Doubles>;  // by the names in checkpoints

// Rounds to a storage type; fp64 keeps.
struct Storage {
  DType dtype = DType::kF64;

  double operator()(double x) const {
    const auto f = static_cast<float>(x);
    if (dtype == DType::kBF16) return ToFloat(FromFloat<BF16>(f));
    if (dtype == DType::kF16) return ToFloat(FromFloat<F16>(f));
    return dtype == DType::kF32 ? f : x;
  }
  Doubles operator()(Doubles x) const {
    if (dtype == DType::kF64) return x;
    for (double& value : x) value = (*this)(value);
    return x;
  }
};

// What every layer of a model shares for one pass.
struct Context {
  ModelConfig model;
  int64_t batch = 0, length = 0;
  std::vector<int32_t> positions, segments;  // segments empty: one document per row
  Doubles table;                             // see RopeTable
  Storage store;
  DropoutConfig dropout = {};
  int64_t first_sample = 0;

  // x: [batch, T, hidden], or a gradient there.
  Doubles Drop(const std::string& name, const Doubles& x) const {
    if (dropout.rate == 0.0) return x;
    return store(reference::Dropout(x, static_cast<size_t>(model.hidden),
                                    {.rate = dropout.rate,
                                     .key = HashName(name.data(), name.size(), dropout.seed),
                                     .first_row = first_sample * length}));
  }
};

inline Doubles Sum(Doubles a, const Doubles& b) {
  for (size_t i = 0; i < a.size(); ++i) a[i] += b[i];
  return a;
}

// Adds into the named gradient, which starts as zeros.
inline void AddTo(Params& grads, const std::string& name, const Doubles& grad) {
  Doubles& sum = grads[name];
  sum.resize(grad.size());
  for (size_t i = 0; i < grad.size(); ++i) sum[i] += grad[i];
}

// y = x W^T (+ b) and its gradients; dx is returned unrounded, since sums of several are stored.
inline Doubles LinearGradients(Params& grads, const Params& params, const std::string& name,
                               const Doubles& dy, const Doubles& x, size_t in) {
  const Doubles& w = params.at(name + ".weight");
  Doubles dx(x.size()), dw(w.size());
  LinearBackward(&dx, dw, dy, x, w, in);
  AddTo(grads, name + ".weight", dw);
  if (params.count(name + ".bias") == 0) return dx;
  Doubles db(w.size() / in);
  BiasBackward(db, dy);
  AddTo(grads, name + ".bias", db);
  return dx;
}

struct NormTwin {
  std::string name;
  Doubles x = {}, rstd = {};

  Doubles Forward(const Context& c, const Params& params, const Doubles& input) {
    x = input;
    auto result = RmsNorm(x, params.at(name), c.model.norm_eps);
    rstd = std::move(result.rstd);
    return c.store(std::move(result.y));
  }
  // Unrounded.
  Doubles Backward(const Params& params, Params& grads, const Doubles& dy) const {
    auto result = RmsNormBackward(dy, x, params.at(name), rstd);
    AddTo(grads, name, result.dw);
    return std::move(result.dx);
  }
};

struct AttentionTwin {
  explicit AttentionTwin(const std::string& prefix)
      : name(prefix), q_norm{prefix + ".q_norm.weight"}, k_norm{prefix + ".k_norm.weight"} {}

  Doubles Forward(const Context& c, const Params& params, const Doubles& input) {
    const ModelConfig& m = c.model;
    x = input;
    const auto project = [&](const char* what) {
      const auto bias = params.find(name + what + ".bias");
      return c.store(Linear(x, params.at(name + what + ".weight"), static_cast<size_t>(m.hidden),
                            bias == params.end() ? Doubles{} : bias->second));
    };
    q = project(".q");
    k = project(".k");
    v = project(".v");
    if (m.qk_norm) {
      q = q_norm.Forward(c, params, q);
      k = k_norm.Forward(c, params, k);
    }
    q = c.store(Rope(q, c.positions, c.table, Heads(m), HeadDim(m)));
    k = c.store(Rope(k, c.positions, c.table, KvHeads(m), HeadDim(m)));
    auto result = Attention(Options(c), q, k, v, c.store);
    o = std::move(result.o);
    lse = std::move(result.lse);
    return c.store(Linear(o, params.at(name + ".out.weight"), Heads(m) * HeadDim(m)));
  }

  Doubles Backward(const Context& c, const Params& params, Params& grads, const Doubles& dy) const {
    const ModelConfig& m = c.model;
    const Doubles d_o =
        c.store(LinearGradients(grads, params, name + ".out", dy, o, Heads(m) * HeadDim(m)));
    auto d = AttentionBackward(Options(c), q, k, v, o, lse, d_o, c.store);
    d.dq = c.store(RopeBackward(d.dq, c.positions, c.table, Heads(m), HeadDim(m)));
    d.dk = c.store(RopeBackward(d.dk, c.positions, c.table, KvHeads(m), HeadDim(m)));
    if (m.qk_norm) {
      d.dq = c.store(q_norm.Backward(params, grads, d.dq));
      d.dk = c.store(k_norm.Backward(params, grads, d.dk));
    }
    const auto hidden = static_cast<size_t>(m.hidden);
    Doubles dx = LinearGradients(grads, params, name + ".q", d.dq, x, hidden);
    dx = Sum(dx, LinearGradients(grads, params, name + ".k", d.dk, x, hidden));
    return c.store(Sum(dx, LinearGradients(grads, params, name + ".v", d.dv, x, hidden)));
  }

  static size_t Heads(const ModelConfig& m) { return static_cast<size_t>(m.heads); }
  static size_t KvHeads(const ModelConfig& m) {
    return static_cast<size_t>(m.kv_heads_or_default());
  }
  static size_t HeadDim(const ModelConfig& m) {
    return static_cast<size_t>(m.head_dim_or_default());
  }
  static AttentionOptions Options(const Context& c) {
    return {.batch = c.batch,
            .tq = c.length,
            .tk = c.length,
            .q_heads = c.model.heads,
            .k_heads = c.model.kv_heads_or_default(),
            .d = c.model.head_dim_or_default(),
            .mask = c.model.of_values()          ? MaskKind::kNone
                    : c.model.sliding_window > 0 ? MaskKind::kWindow
                                                 : MaskKind::kCausal,
            .window = c.model.sliding_window,
            .q_segments = c.segments,
            .k_segments = c.segments};
  }

  std::string name;
  NormTwin q_norm, k_norm;
  Doubles x, q, k, v, o, lse;
};

struct MlpTwin {
  std::string name;
  Doubles x = {}, gate_up = {}, act = {};

  Doubles Forward(const Context& c, const Params& params, const Doubles& input) {
    const auto hidden = static_cast<size_t>(c.model.hidden);
    const auto ffn = static_cast<size_t>(c.model.ffn);
    x = input;
    const Doubles gate = Linear(x, params.at(name + ".gate.weight"), hidden);
    const Doubles up = Linear(x, params.at(name + ".up.weight"), hidden);
    gate_up.clear();
    for (size_t n = 0; n < x.size() / hidden; ++n) {
      gate_up.insert(gate_up.end(), gate.begin() + n * ffn, gate.begin() + (n + 1) * ffn);
      gate_up.insert(gate_up.end(), up.begin() + n * ffn, up.begin() + (n + 1) * ffn);
    }
    gate_up = c.store(std::move(gate_up));
    act = c.store(Swiglu(gate_up, ffn));
    return c.store(Linear(act, params.at(name + ".down.weight"), ffn));
  }

  Doubles Backward(const Context& c, const Params& params, Params& grads, const Doubles& dy) const {
    const auto hidden = static_cast<size_t>(c.model.hidden);
    const auto ffn = static_cast<size_t>(c.model.ffn);
    const Doubles d_act = c.store(LinearGradients(grads, params, name + ".down", dy, act, ffn));
    const Doubles both = c.store(SwigluBackward(d_act, gate_up, ffn));
    Doubles d_gate, d_up;
    for (size_t n = 0; n < act.size() / ffn; ++n) {
      const auto row = both.begin() + 2 * n * ffn;
      d_gate.insert(d_gate.end(), row, row + ffn);
      d_up.insert(d_up.end(), row + ffn, row + 2 * ffn);
    }
    return c.store(Sum(LinearGradients(grads, params, name + ".gate", d_gate, x, hidden),
                       LinearGradients(grads, params, name + ".up", d_up, x, hidden)));
  }
};

// h1 = in; h2 = h1 + drop(attention(norm1(h1))); out = h2 + drop(mlp(norm2(h2))).
struct BlockTwin {
  explicit BlockTwin(const std::string& prefix)
      : norm1{prefix + ".attention_norm.weight"},
        norm2{prefix + ".mlp_norm.weight"},
        attention(prefix + ".attention"),
        mlp{prefix + ".mlp"} {}

  Doubles Forward(const Context& c, const Params& params, const Doubles& h1) {
    const Doubles a = attention.Forward(c, params, norm1.Forward(c, params, h1));
    const Doubles h2 = c.store(Sum(h1, c.Drop(attention.name + ".dropout", a)));
    const Doubles m = mlp.Forward(c, params, norm2.Forward(c, params, h2));
    return c.store(Sum(h2, c.Drop(mlp.name + ".dropout", m)));
  }
  Doubles Backward(const Context& c, const Params& params, Params& grads, Doubles d) const {
    const Doubles d2 = mlp.Backward(c, params, grads, c.Drop(mlp.name + ".dropout", d));
    d = c.store(Sum(norm2.Backward(params, grads, d2), d));
    const Doubles d1 = attention.Backward(c, params, grads, c.Drop(attention.name + ".dropout", d));
    return c.store(Sum(norm1.Backward(params, grads, d1), d));
  }

  NormTwin norm1, norm2;
  AttentionTwin attention;
  MlpTwin mlp;
};

}  // namespace tl::reference
