// SPDX-License-Identifier: Apache-2.0
#include "report/config_tables.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "objective/keys.h"
#include "report/chart.h"
#include "report/escape.h"

namespace tl {
namespace {

std::string KeyCell(const ConfigKey& key) {
  return absl::StrCat("<th scope=\"row\"><small>[", Escaped(key.section), "]</small> ",
                      Escaped(key.name), "</th>");
}

}  // namespace

std::string DifferencesHtml(absl::Span<const Run> runs) {
  if (runs.size() < 2) return "";
  std::string head, rows;
  for (size_t i = 0; i < runs.size(); ++i)
    absl::StrAppendFormat(&head, "<th class=\"c%d\"><i></i>%s</th>", static_cast<int>(i) % kColours,
                          Escaped(runs[i].name));
  for (const ConfigKey& key : AllKeys().keys()) {
    std::vector<std::string> values;
    for (const Run& run : runs) values.push_back(ValueText(key, run.config));
    if (std::count(values.begin(), values.end(), values[0]) ==
        static_cast<std::ptrdiff_t>(values.size()))
      continue;
    std::string cells;
    for (const std::string& value : values)
      absl::StrAppend(&cells, "<td><code>", Escaped(value), "</code></td>");
    absl::StrAppend(&rows, "<tr>", KeyCell(key), cells, "</tr>");
  }
  if (rows.empty()) return "<p>The configs of these runs are the same.</p>\n";
  return absl::StrCat("<div class=\"scroll\"><table class=\"facts\"><thead><tr><th></th>", head,
                      "</tr></thead><tbody>", rows, "</tbody></table></div>\n");
}

std::string ConfigsHtml(absl::Span<const Run> runs) {
  std::string html;
  const Config plain;
  for (const Run& run : runs) {
    std::string rows;
    for (const ConfigKey& key : AllKeys().keys()) {
      const std::string value = ValueText(key, run.config);
      const bool set = value != ValueText(key, plain);
      absl::StrAppend(&rows, set ? "<tr class=\"set\">" : "<tr>", KeyCell(key), "<td><code>",
                      Escaped(value), "</code></td></tr>");
    }
    absl::StrAppend(&html, "<details><summary>All keys of ", Escaped(run.name),
                    ", those that differ from the defaults in bold</summary><div class=\"scroll\">"
                    "<table class=\"facts\"><tbody>",
                    rows, "</tbody></table></div></details>\n");
  }
  return html;
}

}  // namespace tl
