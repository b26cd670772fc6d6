// SPDX-License-Identifier: Apache-2.0
// Trains a small model on a grid made of some of the world's ranks, and keeps what two layouts are
// compared by: losses, the first step's gradients and the weights as whole tensors, and the bytes
// that the layout takes and sends.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/philox.h"
#include "comm/mesh.h"
#include "data/blend.h"
#include "data/token_file.h"
#include "engine/validate.h"
#include "mpi_main.h"
#include "train/stepper.h"

namespace tl::test {

inline constexpr int64_t kVocab = 203;  // divisible by neither 2 nor 4
inline constexpr int kSteps = 20;

// Buckets are small so that there are several, and chunks of the loss do not divide the rows.
inline Config SmallConfig() {
  Config c;
  c.run.device = "cpu";
  c.model = {.layers = 2, .hidden = 128, .heads = 4, .kv_heads = 2, .ffn = 256, .vocab = kVocab};
  c.train.steps = kSteps;
  c.train.sequence_length = 32;
  c.train.global_batch_size = 8;
  c.train.micro_batch_size = 2;
  c.train.loss_chunk = 24;
  c.train.z_loss = 1e-4;
  c.parallel.bucket_elements = 20'000;
  c.optimizer.lr = 3e-3;
  c.optimizer.warmup_steps = 2;
  return c;
}

struct Layout {
  int data = 1;
  int tensor = 1;
  bool sequence = false;
  Recompute recompute = Recompute::kNone;

  int ranks() const { return data * tensor; }
  std::string grid() const {
    return "DP" + std::to_string(data) + " x TP" + std::to_string(tensor);
  }
  std::string name() const {
    return grid() + (sequence ? " sequence" : "") + ", recompute " + Name(recompute);
  }
};

// Every grid of at most this many ranks; sequence parallelism off and on where it means something.
inline std::vector<Layout> Layouts(int ranks, const std::vector<Recompute>& recomputes) {
  std::vector<Layout> layouts;
  for (int n = 1; n <= ranks; n *= 2) {
    for (int tensor = 1; tensor <= n; tensor *= 2) {
      for (const bool sequence : {false, true}) {
        for (const Recompute recompute : recomputes) {
          if (sequence && tensor == 1) continue;
          layouts.push_back({n / tensor, tensor, sequence, recompute});
        }
      }
    }
  }
  return layouts;
}

inline Config With(Config config, const Layout& layout) {
  config.parallel.tensor = layout.tensor;
  config.parallel.sequence = layout.sequence;
  config.train.recompute = layout.recompute;
  return config;
}

// Documents of 5 to 68 tokens in which the next token mostly follows from the last one, so that
// there is something to learn.
inline std::unique_ptr<DataSource> MakeSource(bool pack_documents = false) {
  // Every rank writes a file of its own, which goes away with the last mapping.
  const std::string path = testing::TempDir() + "grid_run." + std::to_string(getpid()) + ".tok";
  {
    auto writer = TokenFileWriter::Create(path, kVocab);
    TL_CHECK(writer.ok()) << writer.status().ToString();
    int32_t token = 1;
    for (uint64_t document = 0; document < 150; ++document) {
      (*writer)->StartDocument();
      const uint32_t size = 5 + Philox(1, document, 0).w[0] % 64;
      for (uint32_t i = 0; i < size; ++i) {
        const PhiloxWords random = Philox(2, document, i);
        token = random.w[0] % 8 == 0 ? random.w[1] % kVocab : (token * 5 + 7) % kVocab;
        TL_CHECK((*writer)->Append({token}, 1).ok());
      }
    }
    const absl::Status status = (*writer)->Finish();
    TL_CHECK(status.ok()) << status.ToString();
  }
  auto source = OpenBlend(
      {.files = {{.path = path}}, .seed = 3, .vocab = kVocab, .pack_documents = pack_documents});
  TL_CHECK(source.ok()) << source.status().ToString();
  std::remove(path.c_str());
  return std::move(source).value();
}

// What one rank put on the wire in one step, by communicator and kind of collective.
enum Group { kWorldGroup, kDataGroup, kTensorGroup, kReplicaGroup, kGroups };
using SentBytes = std::array<std::array<int64_t, kCollectiveKinds>, kGroups>;

// Sizes on one rank.
struct Sizes {
  int64_t elements = 0;  // of the flat buffers
  int64_t buckets = 0;
  int64_t weights = 0;  // bytes, as all below
  int64_t gradients = 0;
  int64_t optimizer = 0;  // masters where they are not the weights, and AdamW's two moments
  int64_t saved = 0;      // activations kept from the forward pass for the backward pass
  int64_t activations = 0;
  SentBytes sent{};
};

// The same bits on all ranks of the grid; sizes are rank 0's.
struct Outcome {
  std::vector<float> losses;
  std::vector<float> norms;      // of the gradients, by step
  std::vector<float> gradients;  // of the first step; whole tensors one after the other, as below
  std::vector<float> initial;    // master weights
  std::vector<float> weights;    // after the last step
  std::vector<float> moments;    // AdamW's m, then its v, then the average of weights
  int64_t skipped = 0;
  Sizes sizes;
};

// Where a tensor is in an outcome.
struct TensorRange {
  std::string name;
  int64_t begin = 0;
  int64_t size = 0;
};

inline std::vector<TensorRange> Ranges(const ParamTable& table) {
  std::vector<TensorRange> ranges;
  int64_t begin = 0;
  for (ParamId id = 0; id < table.size(); ++id) {
    for (const PartShard& shard : table[id].shards) {
      ranges.push_back({shard.part->name, begin, shard.part->shape.elements()});
      begin += shard.part->shape.elements();
    }
  }
  return ranges;
}

// Calls visit(flat, global) for every element this rank holds: its place in the flat buffers and
// in an outcome; -1: padding. counted_only: leaves out what another tensor rank counts.
template <typename Visit>
void ForEachElement(const ParamTable& table, bool counted_only, const Visit& visit) {
  int64_t begin = 0;
  for (ParamId id = 0; id < table.size(); ++id) {
    for (const PartShard& shard : table[id].shards) {
      const int64_t columns = shard.local.rank() == 2 ? shard.local[1] : 1;
      for (int64_t r = 0; r < shard.local[0] && (shard.counted || !counted_only); ++r) {
        for (int64_t c = 0; c < columns; ++c) {
          const int64_t global = GlobalIndex(shard, r, c);
          visit(table[id].offset + shard.offset + r * columns + c,
                global < 0 ? -1 : begin + global);
        }
      }
      begin += shard.part->shape.elements();
    }
  }
}

// Whole tensors on every rank, to the bit: each element comes from the one rank that owns it.
// value(flat, shard): an owned element, by its place in the flat buffers and in the sharded state.
template <typename Value>
std::vector<float> GatherWhole(Stepper& stepper, const Value& value) {
  const ParamTable& table = stepper.engine().params();
  std::vector<int64_t> owned(table.elements(), -1);
  for (int64_t i = 0, run = 0; i < table.elements(); i += run) {
    const int64_t shard = stepper.state().ShardOffset(i, &run);
    for (int64_t k = 0; shard >= 0 && k < run; ++k) owned[i + k] = shard + k;
  }
  const std::vector<TensorRange> ranges = Ranges(table);
  std::vector<float> whole(ranges.back().begin + ranges.back().size);
  ForEachElement(table, /*counted_only=*/true, [&](int64_t flat, int64_t global) {
    if (global >= 0 && owned[flat] >= 0) whole[global] = value(flat, owned[flat]);
  });
  // As integers: -0 stays -0.
  Engine& engine = stepper.engine();
  engine.mesh().world().AllReduce(
      engine.stream(),
      Tensor::Of(reinterpret_cast<int32_t*>(whole.data()), {static_cast<int64_t>(whole.size())}));
  engine.stream().Synchronize();
  return whole;
}

inline float LoadElement(Tensor t, int64_t i) {
  switch (t.dtype) {
    case DType::kBF16:
      return ToFloat(t.as<BF16>()[i]);
    case DType::kF16:
      return ToFloat(t.as<F16>()[i]);
    default:
      return t.as<float>()[i];
  }
}

inline float Rounded(float x, DType dtype) {
  switch (dtype) {
    case DType::kBF16:
      return ToFloat(FromFloat<BF16>(x));
    case DType::kF16:
      return ToFloat(FromFloat<F16>(x));
    default:
      return x;
  }
}

inline std::vector<float> GatherMasters(Stepper& stepper) {
  ShardedState& state = stepper.state();
  return GatherWhole(stepper, [&](int64_t flat, int64_t shard) {
    return *state.Master(flat, shard, 1).as<float>();
  });
}

// Frozen parameters have none.
inline std::vector<float> GatherMoments(Stepper& stepper) {
  std::vector<float> moments;
  const int64_t trained = stepper.engine().params().trainable_elements();
  for (int i = 0; i < stepper.state().states(); ++i) {
    const std::vector<float> whole = GatherWhole(stepper, [&](int64_t flat, int64_t shard) {
      return flat >= trained ? 0.0f : *stepper.state().State(i, shard, 1).as<float>();
    });
    moments.insert(moments.end(), whole.begin(), whole.end());
  }
  return moments;
}

// Every copy of a weight, on whatever rank, is the master rounded, and padding is zero.
inline void ExpectCopiesEqual(Stepper& stepper, const std::vector<float>& masters) {
  Engine& engine = stepper.engine();
  engine.comm_stream().Synchronize();
  const Tensor flat_weights = engine.weights().flat;
  int64_t wrong = 0;
  ForEachElement(engine.params(), /*counted_only=*/false, [&](int64_t flat, int64_t global) {
    const float want = global < 0 ? 0.0f : Rounded(masters[global], flat_weights.dtype);
    const float got = LoadElement(flat_weights, flat);
    wrong += std::memcmp(&got, &want, sizeof(float)) != 0;
  });
  EXPECT_EQ(wrong, 0) << "weights that differ from their masters";
}

inline void ForEachGroup(Mesh& mesh, int replicas,
                         const std::function<void(Group, Communicator&)>& visit) {
  visit(kWorldGroup, mesh.world());
  visit(kDataGroup, mesh.group(Axis::kData));
  visit(kTensorGroup, mesh.group(Axis::kTensor));
  if (replicas > 1) visit(kReplicaGroup, mesh.tensor_replicas(replicas));
}

// Ranks that hold the same key/value heads.
inline int Replicas(const Config& config) {
  return static_cast<int>(
      std::max<int64_t>(1, config.parallel.tensor / config.model.kv_heads_or_default()));
}

inline Sizes MeasureSizes(Stepper& stepper) {
  Engine& engine = stepper.engine();
  return {.elements = engine.params().elements(),
          .buckets = static_cast<int64_t>(engine.params().buckets().size()),
          .weights = engine.weights().flat.bytes(),
          .gradients = engine.grads().bytes(),
          .optimizer = stepper.state().master_bytes() + stepper.state().state_bytes(),
          .saved = stepper.model().plan().saved_bytes(),
          .activations = stepper.model().activation_bytes(),
          .sent = {}};
}

// A stepper with memory on a grid; mesh and stepper live together.
struct Training {
  std::unique_ptr<Mesh> mesh;
  std::unique_ptr<Stepper> stepper;
};

inline Training StartTraining(const Config& config, Communicator& ranks) {
  const absl::Status valid = Validate(config, ranks.size());
  TL_CHECK(valid.ok()) << valid.ToString();
  auto mesh = Mesh::Create(ranks, config.parallel.tensor);
  TL_CHECK(mesh.ok()) << mesh.status().ToString();
  Training training{.mesh = std::make_unique<Mesh>(std::move(mesh).value()), .stepper = nullptr};
  auto stepper = Stepper::Create(config, *training.mesh);
  TL_CHECK(stepper.ok()) << stepper.status().ToString();
  training.stepper = std::move(stepper).value();
  training.stepper->Allocate();
  return training;
}

inline StepResult RunStep(Stepper& stepper, const DataSource& source, Outcome& outcome) {
  const absl::StatusOr<StepResult> result = stepper.Run(source);
  TL_CHECK(result.ok()) << result.status().ToString();
  outcome.losses.push_back(result->loss);
  outcome.norms.push_back(static_cast<float>(result->grad_norm));
  outcome.skipped += result->skipped;
  return *result;
}

// Gives matrices that start at zero, a denoiser's modulations and its head, other values: with shut
// gates and a head that says nothing, most first gradients are zero.
inline void OpenGates(Stepper& stepper) {
  const ParamTable& table = stepper.engine().params();
  for (ParamId id = 0; id < table.size(); ++id) {
    const ParamSpec& spec = table[id].spec;
    if (spec.init != InitKind::kZeros || spec.kind == ParamKind::kBias) continue;
    const uint64_t key = HashName(spec.name.data(), spec.name.size(), 5);
    std::vector<float> values(static_cast<size_t>(table[id].local.elements()));
    for (const PartShard& shard : table[id].shards) {
      const int64_t columns = shard.local[1];
      for (int64_t i = 0; i < shard.local.elements(); ++i) {
        const int64_t global = GlobalIndex(shard, i / columns, i % columns);
        if (global >= 0)
          values[static_cast<size_t>(shard.offset + i)] =
              0.2f * PhiloxNormal(key, static_cast<uint64_t>(global));
      }
    }
    stepper.state().SetWeights(id, values.data());
  }
}

// Trains from initial weights on these ranks, denoisers with gates opened. The bytes sent are those
// of the second step: groups are made in the first.
inline Outcome Train(const Config& config, Communicator& ranks, const DataSource& source,
                     int steps = kSteps) {
  Training training = StartTraining(config, ranks);
  Stepper& stepper = *training.stepper;
  stepper.Initialize();
  if (config.model.of_values()) OpenGates(stepper);
  Outcome outcome;
  outcome.initial = GatherMasters(stepper);
  const double scale =
      config.precision.compute == Precision::kFp16 ? config.precision.loss_scale : 1.0;
  stepper.on_gradients = [&](Tensor gradients) {
    if (!outcome.gradients.empty()) return;
    const int64_t trained = gradients.elements();
    outcome.gradients = GatherWhole(stepper, [&](int64_t flat, int64_t) {
      return flat >= trained ? 0.0f : static_cast<float>(gradients.as<float>()[flat] / scale);
    });
  };
  SentBytes sent{};
  for (int i = 0; i < steps; ++i) {
    const int replicas = i == 1 ? Replicas(config) : 1;
    const auto each = [&](const auto& visit) {
      if (i == 1) ForEachGroup(*training.mesh, replicas, visit);
    };
    each([](Group, Communicator& group) { group.ResetStats(); });
    RunStep(stepper, source, outcome);
    each([&](Group index, Communicator& group) {
      for (int k = 0; k < kCollectiveKinds; ++k) sent[index][k] = group.stats()[k].bytes_sent;
    });
  }
  outcome.weights = GatherMasters(stepper);
  outcome.moments = GatherMoments(stepper);
  ExpectCopiesEqual(stepper, outcome.weights);
  outcome.sizes = MeasureSizes(stepper);
  outcome.sizes.sent = sent;
  return outcome;
}

inline std::vector<TensorRange> RangesOf(const Config& config) {
  const std::unique_ptr<Communicator> self = MakeSelfCommunicator();
  Config one = config;
  one.parallel.tensor = 1;
  Training training = StartTraining(one, *self);
  return Ranges(training.stepper->engine().params());
}

// Equal bits.
inline bool Same(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

}  // namespace tl::test
