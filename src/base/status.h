// SPDX-License-Identifier: Apache-2.0
// Macros over absl::Status for errors the world can cause. Messages name the file or key, what was
// expected and what was found.
#pragma once

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#define TL_RETURN_IF_ERROR(expr)                                               \
  do {                                                                         \
    if (absl::Status tl_status_ = (expr); !tl_status_.ok()) return tl_status_; \
  } while (false)

#define TL_CONCAT_INNER_(a, b) a##b
#define TL_CONCAT_(a, b) TL_CONCAT_INNER_(a, b)

// TL_ASSIGN_OR_RETURN(auto x, F()): returns F's status on error, else moves its value into x.
#define TL_ASSIGN_OR_RETURN(lhs, expr) \
  TL_ASSIGN_OR_RETURN_IMPL_(TL_CONCAT_(tl_statusor_, __LINE__), lhs, expr)
#define TL_ASSIGN_OR_RETURN_IMPL_(statusor, lhs, expr) \
  auto statusor = (expr);                              \
  if (!statusor.ok()) return statusor.status();        \
  lhs = std::move(statusor).value()
