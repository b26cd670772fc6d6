// SPDX-License-Identifier: Apache-2.0
// Runs many layouts on the world's ranks, several grids at a time, and holds the results against
// the bounds.
#pragma once

#include <cmath>

#include "grid_formulas.h"
#include "grid_run.h"

namespace tl::test {

// The bytes of a layout are what the formulas say, on every rank.
inline void ExpectSizes(const Config& config, int ranks, const Sizes& sizes) {
  const Quantities s(config, ranks);
  // The formulas are those of a plain model.
  if (config.objective.name != "next_token" && !config.model.of_values()) return;
  int64_t tensors = 0;
  const int64_t local = LocalElements(s, &tensors);
  // Tensors start at multiples of 16 elements, buckets at multiples of 16 per data rank.
  EXPECT_GE(sizes.elements, local);
  EXPECT_LE(sizes.elements, local + 15 * tensors + (16 * s.D - 1) * sizes.buckets);
  EXPECT_GE(sizes.buckets, 3);
  EXPECT_EQ(sizes.weights, sizes.elements * s.e);
  EXPECT_EQ(sizes.gradients, sizes.elements * 4);
  const int64_t masters = config.precision.compute == Precision::kFp32 ? 0 : 4;
  const int64_t states = config.optimizer.ema > 0.0 ? 12 : 8;
  EXPECT_EQ(sizes.optimizer, sizes.elements / s.D * (masters + states));
  EXPECT_EQ(sizes.saved, SavedBytes(s));
  // What is alive at once is laid out without gaps to speak of.
  if (!config.model.of_values()) {
    EXPECT_LE(static_cast<double>(sizes.activations), 1.05 * static_cast<double>(PeakBytes(s)));
  }
  const SentBytes want = ExpectedSent(s, sizes.elements);
  const char* const groups[] = {"world", "data", "tensor", "replica"};
  for (int g = 0; g < kGroups; ++g) {
    for (int k = 0; k < kCollectiveKinds; ++k) {
      EXPECT_EQ(sizes.sent[g][k], want[g][k])
          << groups[g] << " group, " << Name(static_cast<CollectiveKind>(k));
    }
  }
}

inline void BroadcastFloats(std::vector<float>& values, int root) {
  Stream stream = Stream::Cpu();
  auto size = static_cast<int64_t>(values.size());
  World().Broadcast(stream, Tensor::Of(&size, {1}), root);
  values.resize(size);
  World().Broadcast(stream, Tensor::Of(values.data(), {size}), root);
}

inline void BroadcastOutcome(Outcome& outcome, int root) {
  for (auto* values : {&outcome.losses, &outcome.norms, &outcome.gradients, &outcome.initial,
                       &outcome.weights, &outcome.moments})
    BroadcastFloats(*values, root);
  Stream stream = Stream::Cpu();
  static_assert(sizeof(Sizes) % sizeof(int64_t) == 0);
  World().Broadcast(stream, Tensor::Of(&outcome.skipped, {1}), root);
  World().Broadcast(stream,
                    Tensor::Of(reinterpret_cast<int64_t*>(&outcome.sizes),
                               {static_cast<int64_t>(sizeof(Sizes) / sizeof(int64_t))}),
                    root);
}

// Outcomes in the order of the layouts, on every rank. Layouts of fewer ranks than the world run
// side by side; `layouts` must be ordered by ranks.
inline std::vector<Outcome> TrainAll(const Config& config, const std::vector<Layout>& layouts,
                                     const DataSource& source, int steps = kSteps) {
  std::vector<Outcome> outcomes(layouts.size());
  for (size_t begin = 0, end = 0; begin < layouts.size(); begin = end) {
    const int ranks = layouts[begin].ranks();
    while (end < layouts.size() && layouts[end].ranks() == ranks) ++end;
    const int grids = World().size() / ranks, mine = World().rank() / ranks;
    const std::unique_ptr<Communicator> group =
        ranks == 1 ? MakeSelfCommunicator() : World().Split(mine, World().rank());
    for (size_t i = begin + mine; i < end; i += grids) {
      SCOPED_TRACE(layouts[i].name());
      const Config each = With(config, layouts[i]);
      outcomes[i] = Train(each, *group, source, steps);
      ExpectSizes(each, ranks, outcomes[i].sizes);
    }
    for (size_t i = begin; i < end; ++i)
      BroadcastOutcome(outcomes[i], static_cast<int>(i - begin) % grids * ranks);
  }
  return outcomes;
}

// ||a - b|| / ||a - origin||; without an origin / ||a||. 0 where a and b are equal.
inline double Distance(const float* a, const float* b, const float* origin, int64_t n) {
  double difference = 0.0, size = 0.0;
  for (int64_t i = 0; i < n; ++i) {
    const double d = static_cast<double>(a[i]) - b[i];
    const double s = static_cast<double>(a[i]) - (origin != nullptr ? origin[i] : 0.0f);
    difference += d * d;
    size += s * s;
  }
  return difference == 0.0 ? 0.0 : std::sqrt(difference / size);
}

// How far run b is from run a.
struct Distances {
  double largest_loss = 0.0;  // of |a - b| / |a| over the steps
  double loss = 0.0;          // their root mean square
  double gradient = 0.0;      // of the first step, all tensors as one
  double weight = 0.0;        // after the last step, relative to how far they have come
  std::vector<double> gradients, weights;  // of each tensor
};

inline Distances Compare(const Outcome& a, const Outcome& b,
                         const std::vector<TensorRange>& ranges) {
  Distances d;
  double squares = 0.0;
  for (size_t i = 0; i < a.losses.size(); ++i) {
    const double x = std::abs(static_cast<double>(a.losses[i]) - b.losses[i]) / a.losses[i];
    if (!(x <= d.largest_loss)) d.largest_loss = x;  // or not a number
    squares += x * x;
  }
  d.loss = std::sqrt(squares / static_cast<double>(a.losses.size()));
  const auto gradient = [&](int64_t begin, int64_t size) {
    return Distance(a.gradients.data() + begin, b.gradients.data() + begin, nullptr, size);
  };
  const auto weight = [&](int64_t begin, int64_t size) {
    return Distance(a.weights.data() + begin, b.weights.data() + begin, a.initial.data() + begin,
                    size);
  };
  for (const TensorRange& r : ranges) {
    d.gradients.push_back(gradient(r.begin, r.size));
    d.weights.push_back(weight(r.begin, r.size));
  }
  const auto all = static_cast<int64_t>(a.weights.size());
  d.gradient = gradient(0, all);
  d.weight = weight(0, all);
  return d;
}

// Root mean squares over several pairs of runs.
inline Distances Combine(const std::vector<Distances>& each) {
  Distances all;
  const auto mean = [&](const auto& of) {
    double squares = 0.0;
    for (const Distances& d : each) squares += of(d) * of(d);
    return std::sqrt(squares / static_cast<double>(each.size()));
  };
  for (const Distances& d : each) all.largest_loss = std::max(all.largest_loss, d.largest_loss);
  all.loss = mean([](const Distances& d) { return d.loss; });
  all.gradient = mean([](const Distances& d) { return d.gradient; });
  all.weight = mean([](const Distances& d) { return d.weight; });
  for (size_t i = 0; i < each[0].gradients.size(); ++i) {
    all.gradients.push_back(mean([i](const Distances& d) { return d.gradients[i]; }));
    all.weights.push_back(mean([i](const Distances& d) { return d.weights[i]; }));
  }
  return all;
}

// The worst tensor: its distance (over its unit), and its name.
struct WorstTensor {
  double distance = 0.0;
  std::string name;
};

inline WorstTensor Worst(const std::vector<double>& distances,
                         const std::vector<TensorRange>& ranges,
                         const std::vector<double>& units = {}) {
  WorstTensor worst;
  for (size_t i = 0; i < distances.size(); ++i) {
    if (distances[i] == 0.0) continue;
    const double x = distances[i] / (units.empty() ? 1.0 : units[i]);
    if (!(x <= worst.distance)) worst = {x, ranges[i].name};
  }
  return worst;
}

// The project's bounds for fp32. AdamW turns the rounding noise of elements without a gradient into
// whole steps, hence the wider one for weights.
inline void ExpectWithinFp32Bounds(const Distances& d, const std::vector<TensorRange>& ranges) {
  EXPECT_LE(d.largest_loss, 1e-5);
  const WorstTensor gradient = Worst(d.gradients, ranges), weight = Worst(d.weights, ranges);
  EXPECT_LE(gradient.distance, 1e-5) << gradient.name;
  EXPECT_LE(weight.distance, 1e-3) << weight.name;
}

}  // namespace tl::test
