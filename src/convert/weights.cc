// SPDX-License-Identifier: Apache-2.0
#include "convert/weights.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/check.h"
#include "base/status.h"

namespace tl {
namespace {

constexpr int64_t kPiece = 1 << 20;  // elements in memory at once; of kInterleaved, a head

// out[2 j + s] = in[s d / 2 + j] over the rows of one head.
void Interleave(const std::vector<float>& in, int64_t head_dim, int64_t columns,
                std::vector<float>& out) {
  for (int64_t row = 0; row < head_dim; ++row) {
    const int64_t from = (row % 2) * (head_dim / 2) + row / 2;
    std::copy_n(in.data() + from * columns, columns, out.data() + row * columns);
  }
}

template <typename T>
absl::Status AppendAs(const std::vector<float>& values, const TensorPlacement& placement,
                      const std::function<absl::Status(const void*, int64_t)>& append) {
  std::vector<T> rounded(values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    rounded[i] = FromFloat<T>(values[i]);
    if (std::isfinite(values[i]) && !std::isfinite(ToFloat(rounded[i]))) {
      return absl::InvalidArgumentError(absl::StrCat("tensor ", placement.source, ": ", values[i],
                                                     " does not fit ", Name(placement.dtype)));
    }
  }
  return append(rounded.data(), static_cast<int64_t>(rounded.size() * sizeof(T)));
}

}  // namespace

const SourceTensor* WeightSource::Find(const std::string& name) const {
  const auto it = std::find_if(tensors().begin(), tensors().end(),
                               [&](const SourceTensor& t) { return t.name == name; });
  return it == tensors().end() ? nullptr : &*it;
}

int64_t TensorPlacement::elements() const {
  int64_t elements = 1;
  for (const int64_t dim : shape) elements *= dim;
  return elements;
}

int64_t BytesOf(const std::vector<TensorPlacement>& placements) {
  int64_t bytes = 0;
  for (const TensorPlacement& p : placements) bytes += p.left_out() ? 0 : p.bytes();
  return bytes;
}

absl::Status CopyTensor(const WeightSource& source, const TensorPlacement& placement,
                        const std::function<absl::Status(const void*, int64_t)>& append) {
  const int64_t elements = placement.elements();
  if (elements == 0) return append(nullptr, 0);
  const bool interleave = placement.rows == RowOrder::kInterleaved;
  const int64_t columns = placement.shape.size() == 2 ? placement.shape[1] : 1;
  const int64_t piece = interleave ? placement.head_dim * columns : kPiece;
  std::vector<float> values, ordered;
  for (int64_t begin = 0; begin < elements; begin += piece) {
    values.resize(static_cast<size_t>(std::min(piece, elements - begin)));
    if (!placement.source.empty()) {
      TL_RETURN_IF_ERROR(
          source.Read(placement.source, begin, static_cast<int64_t>(values.size()), values.data()));
    }
    if (interleave) {
      ordered.resize(values.size());
      Interleave(values, placement.head_dim, columns, ordered);
      values.swap(ordered);
    }
    switch (placement.dtype) {
      case DType::kBF16:
        TL_RETURN_IF_ERROR(AppendAs<BF16>(values, placement, append));
        break;
      case DType::kF16:
        TL_RETURN_IF_ERROR(AppendAs<F16>(values, placement, append));
        break;
      default:
        TL_CHECK(placement.dtype == DType::kF32);
        TL_RETURN_IF_ERROR(AppendAs<float>(values, placement, append));
    }
  }
  return absl::OkStatus();
}

std::string ShapeText(const std::vector<int64_t>& shape) {
  return absl::StrCat("[", absl::StrJoin(shape, ", "), "]");
}

}  // namespace tl
