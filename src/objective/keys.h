// SPDX-License-Identifier: Apache-2.0
// The table of all config keys, those of the objectives included.
#pragma once

#include "config/table.h"

namespace tl {

const ConfigTable& AllKeys();

}  // namespace tl
