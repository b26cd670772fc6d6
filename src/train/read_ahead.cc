// SPDX-License-Identifier: Apache-2.0
#include "train/read_ahead.h"

#include <utility>

#include "base/check.h"
#include "base/status.h"

namespace tl {

absl::Status ReadAhead::FillAll(const DataSource& data, int64_t first, StepBatches* out) {
  out->micro.resize(micro_batches_);
  out->targets.clear();
  for (int64_t i = 0; i < micro_batches_; ++i) {
    HostBatch& batch = out->micro[i];
    TL_RETURN_IF_ERROR(fill_(data, first, i, &batch));
    const std::vector<int64_t> counts = count_(batch);
    out->targets.resize(counts.size());
    for (size_t head = 0; head < counts.size(); ++head) out->targets[head] += counts[head];
    ++filled_;
  }
  return absl::OkStatus();
}

absl::StatusOr<const StepBatches*> ReadAhead::Take(const DataSource& data, int64_t first) {
  TL_CHECK(!thread_.busy()) << "batches are still being read";
  std::swap(now_, next_);
  const bool read = now_.source == data.id() && now_.first == first;
  now_.source = next_.source = 0;
  TL_RETURN_IF_ERROR(read ? thread_.status() : FillAll(data, first, &now_.batches));
  return &now_.batches;
}

void ReadAhead::Start(const DataSource& data, int64_t first) {
  next_.source = data.id();
  next_.first = first;
  thread_.Post([this, &data, first] { return FillAll(data, first, &next_.batches); });
}

}  // namespace tl
