// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace tl {

// The style sheet of a report: light, or dark where the reader prefers that.
const char* StyleSheet();

}  // namespace tl
