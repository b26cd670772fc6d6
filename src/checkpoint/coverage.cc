// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "checkpoint/manifest.h"

namespace tl {
namespace {

// Boxes of one tensor, compared in pairs.
constexpr size_t kMaxBoxes = 4096;

bool Disjoint(const Box& a, const Box& b) {
  for (int i = 0; i < a.size.rank(); ++i) {
    if (a.begin[i] >= b.begin[i] + b.size[i] || b.begin[i] >= a.begin[i] + a.size[i]) return true;
  }
  return false;
}

bool Less(const Box& a, const Box& b) {
  for (int i = 0; i < a.size.rank(); ++i) {
    if (a.begin[i] != b.begin[i]) return a.begin[i] < b.begin[i];
    if (a.size[i] != b.size[i]) return a.size[i] < b.size[i];
  }
  return false;
}

absl::Status CheckTensor(const TensorRecord& tensor, std::vector<const Piece*> pieces) {
  const auto wrong = [&](const std::string& what) {
    return absl::DataLossError(absl::StrCat("tensor ", DatasetName(tensor), ": ", what));
  };
  std::sort(pieces.begin(), pieces.end(), [](const Piece* a, const Piece* b) {
    if (!(a->box == b->box)) return Less(a->box, b->box);
    return a->begin < b->begin;
  });
  std::vector<const Box*> boxes;
  int64_t next = 0, stored = 0;
  for (const Piece* piece : pieces) {
    if (boxes.empty() || !(*boxes.back() == piece->box)) {
      if (!boxes.empty() && next != boxes.back()->elements()) return wrong("elements are missing");
      if (boxes.size() == kMaxBoxes) return wrong(absl::StrCat("more than ", kMaxBoxes, " boxes"));
      boxes.push_back(&piece->box);
      next = 0;
    }
    if (piece->begin != next)
      return wrong(piece->begin < next ? "elements are stored twice" : "elements are missing");
    next = piece->end;
    stored += piece->elements();
    if (stored > tensor.shape.elements()) return wrong("elements are stored twice");
  }
  for (size_t i = 0; i < boxes.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      if (!Disjoint(*boxes[i], *boxes[j])) return wrong("boxes overlap");
    }
  }
  if (stored != tensor.shape.elements() || next != boxes.back()->elements())
    return wrong(absl::StrCat("elements are missing: ", stored, " of ", tensor.shape.elements(),
                              " are stored"));
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckCoverage(const Manifest& manifest) {
  std::vector<std::vector<const Piece*>> pieces(manifest.tensors.size());
  for (const FileRecord& file : manifest.files) {
    for (const Piece& piece : file.pieces) pieces[piece.tensor].push_back(&piece);
  }
  for (size_t i = 0; i < pieces.size(); ++i) {
    if (const absl::Status status = CheckTensor(manifest.tensors[i], std::move(pieces[i]));
        !status.ok())
      return status;
  }
  return absl::OkStatus();
}

}  // namespace tl
