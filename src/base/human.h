// SPDX-License-Identifier: Apache-2.0
// Numbers as people read them; HumanBytes is in base/host_memory.h.
#pragma once

#include <string>

namespace tl {

std::string HumanCount(double n);       // "950", "22.7k", "124M"
std::string HumanTime(double seconds);  // "123ms", "8.4s", "45s", "2m13s", "3h05m", "2d04h"

}  // namespace tl
