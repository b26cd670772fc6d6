// SPDX-License-Identifier: Apache-2.0
// GPT-2's stand-ins: a printable character for each of the 256 bytes, of which the tokens of
// byte-level vocabularies are made.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace tl::internal {

// By byte: printable ones stand for themselves, the others for U+0100 up in ascending order.
const std::array<int32_t, 256>& StandIns();

// Finds the bytes that a string of stand-ins means; false where a character is none.
bool FromStandIns(absl::string_view text, std::string* bytes);

}  // namespace tl::internal
