// SPDX-License-Identifier: Apache-2.0
// The arithmetic of reductions.
#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"
#include "comm/communicator.h"
#include "device/dtype.h"

namespace tl {

// Tells whether a communicator reduces this type by this operation.
bool CanReduce(ReduceOp op, DType dtype);

// out[i] = rows[0][i] op rows[1][i] op ..., in this order, sums of bf16 and fp16 in fp32 and
// rounded once; n elements. A maximum with NaN is NaN. out may be one of the rows.
void ReduceRows(ReduceOp op, DType dtype, std::byte* out, absl::Span<const std::byte* const> rows,
                int64_t n);

}  // namespace tl
