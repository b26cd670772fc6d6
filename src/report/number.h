// SPDX-License-Identifier: Apache-2.0
// JSON's numbers, read fast from text that nobody has looked at yet.
#pragma once

namespace tl {

// Reads one number of JSON at `text`, which ends before a byte that is part of none, and returns
// where it ends; null where there is none. *value is within a unit in the last place of a double.
const char* ReadNumber(const char* text, double* value);

}  // namespace tl
