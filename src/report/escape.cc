// SPDX-License-Identifier: Apache-2.0
#include "report/escape.h"

#include "absl/strings/str_replace.h"
#include "base/utf8.h"

namespace tl {

std::string Escaped(absl::string_view text) {
  return absl::StrReplaceAll(OneLine(text), {{"&", "&amp;"},
                                             {"<", "&lt;"},
                                             {">", "&gt;"},
                                             {"\"", "&quot;"},
                                             {"'", "&#39;"},
                                             {"\u202A", "\\u202A"},
                                             {"\u202B", "\\u202B"},
                                             {"\u202C", "\\u202C"},
                                             {"\u202D", "\\u202D"},
                                             {"\u202E", "\\u202E"},
                                             {"\u2066", "\\u2066"},
                                             {"\u2067", "\\u2067"},
                                             {"\u2068", "\\u2068"},
                                             {"\u2069", "\\u2069"}});
}

}  // namespace tl
