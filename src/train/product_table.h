// SPDX-License-Identifier: Apache-2.0
// What `bench` prints of the choices that cuBLASLt has for a model's products.
#pragma once

#include <string>
#include <vector>

#include "engine/products.h"

namespace tl {

// A row for each product, the first choice beside the fastest, and a last one of all together,
// weighted by their calls; "" for no products.
std::string ProductTable(const std::vector<TimedProduct>& products);

}  // namespace tl
