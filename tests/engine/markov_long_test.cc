// SPDX-License-Identifier: Apache-2.0
// Heads on a source whose best prediction is known: a first-order Markov chain. What a head at
// offset i can know of the token is the chain's i-step transition from the last token it has seen,
// so its least loss, its best hit rate and the acceptance of the loss-optimal draft are sums over
// the stationary distribution.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <vector>

#include "objective/acceptance.h"
#include "tests/engine/rig.h"
#include "train/evaluate.h"

namespace tl {
namespace {

constexpr int64_t kStates = 12;
using Matrix = std::vector<std::vector<double>>;

// Peaked rows, so that drafts are often right, with unequal tails.
Matrix Transition() {
  Matrix p(kStates, std::vector<double>(kStates));
  for (int64_t i = 0; i < kStates; ++i) {
    double sum = 0.0;
    for (int64_t j = 0; j < kStates; ++j) {
      const double x = Philox(7, i, j).w[0] * 0x1p-32;
      sum += p[i][j] = std::exp(5.0 * x * x);
    }
    p[i][Philox(8, i, 0).w[0] % kStates] += sum;
    for (double& v : p[i]) v /= 2.0 * sum;
  }
  return p;
}

Matrix Times(const Matrix& a, const Matrix& b) {
  Matrix c(kStates, std::vector<double>(kStates));
  for (int64_t i = 0; i < kStates; ++i) {
    for (int64_t k = 0; k < kStates; ++k) {
      for (int64_t j = 0; j < kStates; ++j) c[i][j] += a[i][k] * b[k][j];
    }
  }
  return c;
}

int64_t Best(const std::vector<double>& row) {
  return std::max_element(row.begin(), row.end()) - row.begin();
}

struct Ceiling {
  double loss = 0.0, top1 = 0.0, alpha = 0.0;
};

std::vector<Ceiling> Ceilings(const Matrix& p, int heads) {
  std::vector<double> stationary(kStates, 1.0 / kStates);
  for (int i = 0; i < 1000; ++i) {
    std::vector<double> next(kStates);
    for (int64_t a = 0; a < kStates; ++a) {
      for (int64_t b = 0; b < kStates; ++b) next[b] += stationary[a] * p[a][b];
    }
    stationary = next;
  }
  std::vector<Ceiling> ceilings;
  std::vector<Matrix> steps = {p};
  for (int i = 1; i < heads; ++i) steps.push_back(Times(steps.back(), p));
  for (int i = 0; i < heads; ++i) {
    Ceiling c;
    double reached = 0.0, accepted = 0.0;
    for (int64_t a = 0; a < kStates; ++a) {
      for (const double q : steps[i][a]) c.loss -= stationary[a] * q * std::log(q);
      c.top1 += stationary[a] * steps[i][a][Best(steps[i][a])];
      // Reached: the text has followed the main head's tokens, and the drafts before were they.
      double mass = stationary[a];
      int64_t at = a;
      bool followed = true;
      for (int j = 0; j < i; ++j) {
        const int64_t next = Best(p[at]);
        followed &= Best(steps[j][a]) == next;
        mass *= p[at][next];
        at = next;
      }
      if (!followed) continue;
      reached += mass;
      if (Best(steps[i][a]) == Best(p[at])) accepted += mass;
    }
    c.alpha = accepted / reached;
    ceilings.push_back(c);
  }
  return ceilings;
}

class MarkovSource : public DataSource {
 public:
  explicit MarkovSource(Matrix p) : p_(std::move(p)) {}
  absl::Status FillBatch(int64_t first, int64_t count, int64_t length, int64_t lookahead,
                         HostBatch* out) const override {
    const BatchOptions shape{
        .count = count, .length = length, .vocab = kStates, .lookahead = lookahead};
    *out = RandomBatch(shape, first);
    const int64_t row = length + lookahead;
    for (int64_t b = 0; b < count; ++b) {
      int32_t* tokens = out->tokens.data() + b * row;
      for (int64_t t = 1; t < row; ++t) {
        double u = Philox(seed, first + b, t).w[0] * 0x1p-32;
        int32_t next = 0;
        while (next + 1 < kStates && (u -= p_[tokens[t - 1]][next]) >= 0.0) ++next;
        tokens[t] = next;
      }
      for (int64_t t = 0; t < length; ++t) {
        out->inputs[b * length + t] = tokens[t];
        for (int64_t k = 1; k <= lookahead; ++k)
          out->targets_storage[((k - 1) * count + b) * length + t] = tokens[t + k];
      }
    }
    return absl::OkStatus();
  }
  int64_t SampleCount(int64_t) const override { return samples; }
  int64_t TokenCount() const override { return 0; }
  double BytesPerToken() const override { return 0.0; }
  int64_t samples = -1;
  uint64_t seed = 21;

 private:
  Matrix p_;
};

class Markov : public testing::TestWithParam<int> {};

TEST_P(Markov, HeadsComeWithinTwoPercentOfTheCeiling) {
  constexpr int kHeads = 3;
  Config config;
  config.train.seed = GetParam();
  config.run.device = "cpu";
  config.model = {.layers = 1, .hidden = 64, .heads = 2, .ffn = 128, .vocab = kStates};
  config.objective.name = "independent_heads";
  config.objective.Set("heads", kHeads);
  config.train.steps = 400;
  config.train.sequence_length = 64;
  config.train.global_batch_size = config.train.micro_batch_size = 32;
  config.optimizer.lr = 3e-3;
  config.optimizer.min_lr = 1e-5;
  config.optimizer.warmup_steps = 20;
  config.optimizer.weight_decay = 0.0;
  const Matrix p = Transition();
  MarkovSource source(p);
  source.seed = 100 + GetParam();
  Rig rig(config);
  for (int64_t step = 0; step < config.train.steps; ++step) ASSERT_TRUE(rig->Run(source).ok());
  source.samples = 1 << 12;
  source.seed = 200 + GetParam();
  const EvalResult result = Evaluate(rig->engine(), source, 0).value();
  const std::vector<Ceiling> ceilings = Ceilings(p, kHeads);
  for (int i = 0; i < kHeads; ++i) {
    const HeadResult& head = result.heads[i];
    const Ceiling& c = ceilings[i];
    const double top1 = head.Find(kTop1)->value;
    const double alpha = i == 0 ? 1.0 : head.Find(kAcceptance)->value;
    std::printf("head %d: loss %.4f of %.4f, top-1 %.4f of %.4f, acceptance %.4f of %.4f\n", i + 1,
                head.loss, c.loss, top1, c.top1, alpha, c.alpha);
    EXPECT_LE(head.loss, 1.02 * c.loss) << i;
    EXPECT_GE(top1, 0.98 * c.top1) << i;
    EXPECT_GE(alpha, 0.98 * c.alpha) << i;
  }
  std::printf("tau %.4f\n", AcceptedLength(Acceptances(result.heads)));
}

INSTANTIATE_TEST_SUITE_P(Seeds, Markov, testing::Values(1, 2, 3));

}  // namespace
}  // namespace tl
