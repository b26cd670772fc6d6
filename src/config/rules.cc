// SPDX-License-Identifier: Apache-2.0
#include "config/rules.h"

#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace tl {
namespace {

// The divisors of n that fit, as "1, 2, 4".
template <typename Fits>
std::string Divisors(int64_t n, Fits fits) {
  std::vector<int64_t> list;
  for (int64_t d = 1; d <= n; ++d) {
    if (n % d == 0 && fits(d)) list.push_back(d);
  }
  return absl::StrJoin(list, ", ");
}

// Key/value heads are divided, or replicated where there are fewer than ranks.
bool KvHeadsFit(int64_t kv_heads, int64_t tensor) {
  return kv_heads % tensor == 0 || tensor % kv_heads == 0;
}

// What [parallel] sequence divides: sequences of tokens, the rows of a pass of values.
int64_t SplitRows(const Config& c) {
  return c.model.of_values() ? c.train.micro_batch_size * c.model.patches()
                             : c.train.sequence_length;
}

bool TensorFits(const Config& c, int64_t tensor) {
  return c.model.heads % tensor == 0 && c.model.ffn % tensor == 0 &&
         KvHeadsFit(c.model.kv_heads_or_default(), tensor) &&
         (!c.parallel.sequence || SplitRows(c) % tensor == 0) &&
         (!c.model.of_values() || c.model.hidden % tensor == 0);
}

}  // namespace

absl::Status ValidateGrid(const Config& c, int ranks) {
  const int64_t tensor = c.parallel.tensor;
  const ModelConfig& m = c.model;
  if (tensor < 1)
    return absl::InvalidArgumentError(
        absl::StrCat("[parallel] tensor = ", tensor, ": expected 1 or more"));
  std::string wrong;
  if (ranks % tensor != 0) {
    wrong = absl::StrCat("the number of ranks, ", ranks);
  } else if (m.heads % tensor != 0) {
    wrong = absl::StrCat("[model] heads = ", m.heads);
  } else if (!KvHeadsFit(m.kv_heads_or_default(), tensor)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "[parallel] tensor = ", tensor,
        " is neither a divisor nor a multiple of [model] kv_heads = ", m.kv_heads_or_default(),
        "; tensor sizes that fit ", ranks,
        " rank(s) and this model: ", Divisors(ranks, [&](int64_t d) { return TensorFits(c, d); })));
  } else if (m.ffn % tensor != 0) {
    wrong = absl::StrCat("[model] ffn = ", m.ffn);
  } else if (m.of_values() && m.hidden % tensor != 0) {
    wrong = absl::StrCat("[model] hidden = ", m.hidden);
  } else if (c.parallel.sequence && SplitRows(c) % tensor != 0) {
    wrong = absl::StrCat(m.of_values() ? "[train] micro_batch_size x patches of a sample = "
                                       : "[train] sequence_length = ",
                         SplitRows(c), ", as [parallel] sequence = true needs");
  } else {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "[parallel] tensor = ", tensor, " does not divide ", wrong, "; tensor sizes that fit ", ranks,
      " rank(s) and this model: ", Divisors(ranks, [&](int64_t d) { return TensorFits(c, d); })));
}

namespace {

// Tokens have no labels and no pixels.
absl::Status ValidateTokenData(const DataConfig& data) {
  std::string key;
  if (data.flip) key = "[data] flip = true";
  if (data.dequantize) key = "[data] dequantize = true";
  for (const auto* files : {&data.train, &data.eval}) {
    for (const WeightedPath& file : *files) {
      if (!file.labels.empty())
        key = absl::StrCat("[data] ", files == &data.train ? "train" : "eval",
                           ": labels = ", file.labels);
    }
  }
  if (key.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(key, " is for pictures, but [model] shape is not given"));
}

}  // namespace

absl::Status ValidateValues(const Config& c) {
  const TrainConfig& t = c.train;
  if (!c.model.of_values()) return ValidateTokenData(c.data);
  if (t.sequence_length != c.model.patches()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "[train] sequence_length = ", t.sequence_length, ": a sample of [model] shape has ",
        c.model.patches(), " patches; it need not be given"));
  }
  const auto foreign = [](const char* key, const std::string& value) {
    return absl::InvalidArgumentError(absl::StrCat(
        key, " = ", value, " is a key of models of tokens, but [model] shape is given"));
  };
  if (t.z_loss != 0.0) return foreign("[train] z_loss", absl::StrCat(t.z_loss));
  if (t.loss_chunk != 0) return foreign("[train] loss_chunk", absl::StrCat(t.loss_chunk));
  if (c.data.pack_documents) return foreign("[data] pack_documents", "true");
  return absl::OkStatus();
}

absl::Status ValidateBatch(const Config& c, int ranks) {
  const TrainConfig& t = c.train;
  for (const auto& [key, value] : {std::pair{"sequence_length", t.sequence_length},
                                   std::pair{"global_batch_size", t.global_batch_size},
                                   std::pair{"micro_batch_size", t.micro_batch_size}}) {
    if (value < 1 || value > std::numeric_limits<int32_t>::max()) {
      return absl::InvalidArgumentError(
          absl::StrCat("[train] ", key, " = ", value, ": expected a number from 1 to 2^31-1"));
    }
  }
  // Far beyond any use; byte counts of a step stay in an int64.
  constexpr int64_t kMaxTokens = int64_t{1} << 40;
  if (t.global_batch_size > kMaxTokens / t.sequence_length) {
    return absl::InvalidArgumentError(
        absl::StrCat("[train] global_batch_size x sequence_length = ", t.global_batch_size, " x ",
                     t.sequence_length, ": expected at most 2^40 tokens per step"));
  }
  const int64_t data = ranks / c.parallel.tensor;
  const int64_t unit = t.micro_batch_size * data;
  if (t.global_batch_size % unit == 0) return absl::OkStatus();
  const int64_t below = t.global_batch_size / unit * unit;
  std::string fit = absl::StrCat("global_batch_size that fits: ");
  if (below > 0) absl::StrAppend(&fit, below, " or ");
  absl::StrAppend(&fit, below + unit);
  if (t.global_batch_size % data == 0) {
    absl::StrAppend(&fit, "; micro_batch_size that fits: ",
                    Divisors(t.global_batch_size / data, [](int64_t) { return true; }));
  }
  return absl::InvalidArgumentError(
      absl::StrCat("[train] global_batch_size = ", t.global_batch_size,
                   " is not a multiple of micro_batch_size x data ranks = ", t.micro_batch_size,
                   " x ", data, " = ", unit, "; ", fit));
}

absl::Status ValidateSchedule(const Config& c) {
  const OptimizerConfig& o = c.optimizer;
  const int64_t steps = c.train.steps;
  if (steps < 1)
    return absl::InvalidArgumentError(
        absl::StrCat("[train] steps = ", steps, ": expected 1 or more"));
  if (o.warmup_steps > steps) {
    return absl::InvalidArgumentError(absl::StrCat("[optimizer] warmup_steps = ", o.warmup_steps,
                                                   ": expected at most [train] steps = ", steps));
  }
  if (o.min_lr > o.lr) {
    return absl::InvalidArgumentError(
        absl::StrCat("[optimizer] min_lr = ", o.min_lr, ": expected at most lr = ", o.lr));
  }
  if (o.schedule == ScheduleKind::kWsd) {
    const double room = 1.0 - static_cast<double>(o.warmup_steps) / static_cast<double>(steps);
    if (o.decay_fraction > room + 1e-12) {
      return absl::InvalidArgumentError(
          absl::StrCat("[optimizer] decay_fraction = ", o.decay_fraction,
                       ": after warmup_steps = ", o.warmup_steps, " of [train] steps = ", steps,
                       " at most ", room, " is left to decay in"));
    }
  }
  return absl::OkStatus();
}

absl::Status ValidatePrecision(const PrecisionConfig& p) {
  if (p.min_loss_scale <= p.initial_loss_scale) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("[precision] min_loss_scale = ", p.min_loss_scale,
                   ": expected at most initial_loss_scale = ", p.initial_loss_scale));
}

}  // namespace tl
