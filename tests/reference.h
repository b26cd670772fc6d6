// SPDX-License-Identifier: Apache-2.0
// The fp64 twins of every op, layer and the model, in plain loops.
#pragma once

#include "tests/reference/adamw.h"          // IWYU pragma: export
#include "tests/reference/attention.h"      // IWYU pragma: export
#include "tests/reference/block.h"          // IWYU pragma: export
#include "tests/reference/cross_entropy.h"  // IWYU pragma: export
#include "tests/reference/embedding.h"      // IWYU pragma: export
#include "tests/reference/matmul.h"         // IWYU pragma: export
#include "tests/reference/model.h"          // IWYU pragma: export
#include "tests/reference/norm.h"           // IWYU pragma: export
#include "tests/reference/rope.h"           // IWYU pragma: export
#include "tests/reference/rope_table.h"     // IWYU pragma: export
#include "tests/reference/swiglu.h"         // IWYU pragma: export
