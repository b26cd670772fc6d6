// SPDX-License-Identifier: Apache-2.0
// The table of docs/results/equivalence.md.
#pragma once

#include <fstream>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "grid_compare.h"

namespace tl::test {

class GridTable {
 public:
  // A row of fp32 or of another precision, whose distances are multiples of `unit`.
  void Add(Precision precision, const Layout& layout, const Sizes& sizes,
           const std::vector<double>& distances) {
    Rows& rows = precision == Precision::kFp32   ? fp32_
                 : precision == Precision::kBf16 ? bf16_
                                                 : fp16_;
    std::vector<std::string> cells = {absl::StrCat(layout.data, "×", layout.tensor),
                                      layout.sequence ? "yes" : "no", Name(layout.recompute)};
    for (const double d : distances)
      cells.push_back(d == 0.0                        ? "0"
                      : precision == Precision::kFp32 ? absl::StrFormat("%.1e", d)
                                                      : absl::StrFormat("%.2f", d));
    for (const int64_t bytes :
         {sizes.weights, sizes.gradients, sizes.optimizer, sizes.saved, sizes.activations})
      cells.push_back(Kilobytes(bytes));
    for (const auto& [group, kind] : {std::pair{kDataGroup, CollectiveKind::kReduceScatter},
                                      std::pair{kDataGroup, CollectiveKind::kAllGather},
                                      std::pair{kTensorGroup, CollectiveKind::kAllReduce},
                                      std::pair{kTensorGroup, CollectiveKind::kReduceScatter},
                                      std::pair{kTensorGroup, CollectiveKind::kAllGather},
                                      std::pair{kReplicaGroup, CollectiveKind::kAllReduce}})
      cells.push_back(Kilobytes(sizes.sent[group][static_cast<int>(kind)]));
    rows.text += absl::StrCat("| ", absl::StrJoin(cells, " | "), " |\n");
    std::printf("%s | %s |\n", Name(precision), absl::StrJoin(cells, " | ").c_str());
  }
  void SetUnit(Precision precision, const Distances& unit) {
    (precision == Precision::kBf16 ? bf16_ : fp16_).unit = absl::StrFormat(
        "losses %.1e, gradients %.1e, weights %.1e", unit.loss, unit.gradient, unit.weight);
  }
  void AddVariant(const std::string& name, int layouts, const Distances& worst, double gradient,
                  double weight) {
    const std::string row = absl::StrFormat("| %s | %d | %.1e | %.1e | %.1e |\n", name, layouts,
                                            worst.largest_loss, gradient, weight);
    variants_ += row;
    if (World().rank() == 0) std::printf("%s", row.c_str());
  }

  // Whether every part is there.
  bool complete() const {
    return !fp32_.text.empty() && !bf16_.text.empty() && !fp16_.text.empty() && !variants_.empty();
  }

  bool Write(const std::string& path) const {
    std::ofstream file(path);
    file << R"(# Equivalence of layouts

Made by `tests/mpi/equivalence_test.cc`, which trains the same small model on every grid of ranks,
compares, and asserts every bound and every number of bytes here; the test prints these rows anew
on any machine (`ctest -R mpi4.equivalence`), and `TRUNKLINE_WRITE_DOCS=1` writes this file.
The CUDA backend's distances are in [equivalence_devices.md](equivalence_devices.md).

The model: 2 layers, hidden 128, 4 heads of 32, 2 key/value heads (held twice on 4 tensor ranks),
ffn 256, vocabulary 203 (padded where it does not divide), tied embeddings; 20 steps of AdamW at
3e-3 on batches of 8 sequences of 32 tokens in micro-batches of 2; several gradient buckets, several
chunks of the loss. Initial weights are equal to the bit on all layouts, weights and optimizer state
after the last step on all ranks that hold them, and recompute changes no bit of anything.

Columns: grid is data×tensor; seq is sequence parallelism. Bytes are per rank in KiB: weights,
gradients (fp32), optimizer (AdamW's moments, and FP32 masters where weights are not), saved
(activations kept from forward to backward), arena (all activations), and what one rank sends in one
step: over the data group in reduce-scatters (rs) and all-gathers (ag), over the tensor group in
all-reduces (ar), reduce-scatters and all-gathers, and in all-reduces among the ranks that hold the
same key/value heads. The formulas are in `tests/mpi/grid_formulas.h`.

## fp32

Distances are from one rank: loss is the largest |a-b|/|a| of 20 steps (bound 1e-5), gradient
the worst tensor's ‖a-b‖/‖a‖ in the first step (1e-5), weight the worst tensor's
‖Wa-Wb‖/‖Wa-W0‖ after 20 steps (1e-3).

)" << Header({"loss", "gradient", "weight"})
         << fp32_.text << R"(
## bf16 and fp16

Distances are from one rank in the same precision, as multiples of how far that one rank is from
fp32; root mean squares over three seeds. loss: of 20 steps; gradient: of all tensors as one; tensor:
the worst tensor's gradient; weight: all weights after 20 steps. The rounding errors of two layouts
are nearly independent, and those of one size add to √2 of it: between any two layouts the test
asserts gradient ≤ 1 and, where a figure is the mean of fewer roundings or has gone through AdamW's
steps, ≤ √2. fp16 has a fixed scale of 1024, and no step is skipped.

bf16; one rank is this far from fp32: )"
         << bf16_.unit << "\n\n"
         << Header({"loss", "gradient", "tensor", "weight"}) << bf16_.text
         << "\nfp16; one rank is this far from fp32: " << fp16_.unit << "\n\n"
         << Header({"loss", "gradient", "tensor", "weight"}) << fp16_.text << R"(
## Variants

fp32, the worst of the layouts against one rank; the same bounds, for averages of weights too. Those of
denoising start from opened gates and learn pictures of 4 × 6 in 6 patches; over 4 tensor ranks with
sequence parallelism each has half a picture's.

| variant | layouts | loss | gradient | weight |
|---|---|---|---|---|
)" << variants_;
    return file.flush().good();
  }

 private:
  struct Rows {
    std::string text, unit;
  };
  static std::string Kilobytes(int64_t bytes) {
    return bytes == 0 ? "0" : absl::StrFormat("%.1f", static_cast<double>(bytes) / 1024.0);
  }
  static std::string Header(const std::vector<std::string>& distances) {
    std::vector<std::string> names = {"grid", "seq", "recompute"};
    names.insert(names.end(), distances.begin(), distances.end());
    for (const char* name : {"weights", "gradients", "optimizer", "saved", "arena", "data rs",
                             "data ag", "tensor ar", "tensor rs", "tensor ag", "kv ar"})
      names.push_back(name);
    std::string rule = "|";
    for (size_t i = 0; i < names.size(); ++i) rule += "---|";
    return absl::StrCat("| ", absl::StrJoin(names, " | "), " |\n", rule, "\n");
  }
  Rows fp32_, bf16_, fp16_;
  std::string variants_;
};

}  // namespace tl::test
