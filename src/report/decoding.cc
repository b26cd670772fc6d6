// SPDX-License-Identifier: Apache-2.0
#include "report/decoding.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "report/axis.h"
#include "report/escape.h"

namespace tl {
namespace {

using nlohmann::json;

constexpr size_t kMostTableRows = 64;
constexpr size_t kRanksShown = 5;

// Files are anybody's: what is no number is none.
double NumberIn(const json& object, const char* key) {
  const auto it = object.is_object() ? object.find(key) : object.end();
  return it != object.end() && it->is_number() ? it->get<double>() : NAN;
}
std::string StringIn(const json& object, const char* key) {
  const auto it = object.is_object() ? object.find(key) : object.end();
  return it != object.end() && it->is_string() ? it->get<std::string>() : "";
}
std::vector<double> NumbersIn(const json& object, const char* key) {
  std::vector<double> numbers;
  const auto it = object.is_object() ? object.find(key) : object.end();
  if (it == object.end() || !it->is_array()) return numbers;
  for (const json& item : *it) numbers.push_back(item.is_number() ? item.get<double>() : NAN);
  return numbers;
}
const json& ListIn(const json& object, const char* key) {
  static const auto* const kNone = new json(json::array());
  const auto it = object.is_object() ? object.find(key) : object.end();
  return it != object.end() && it->is_array() ? *it : *kNone;
}

std::string UnitCell(double value, Unit unit) {
  return absl::StrCat("<td>", NumberText(value, unit), "</td>");
}
std::string TimesCell(double value) {
  if (!std::isfinite(value)) return "<td>–</td>";
  return absl::StrFormat("<td>%.2f×</td>", value);
}
// As long as `value` is of `most`.
std::string BarCell(double value, double most) {
  const double share = most > 0.0 && value > 0.0 ? std::min(1.0, value / most) : 0.0;
  return absl::StrFormat("<td class=\"bar\"><i style=\"width:%.1f%%\"></i></td>", 100.0 * share);
}

std::string TableHtml(const std::string& caption, const std::string& head,
                      const std::string& rows) {
  return absl::StrCat("<h4>", caption,
                      "</h4><div class=\"scroll\"><table class=\"numbers\"><thead>"
                      "<tr>",
                      head, "</tr></thead><tbody>", rows, "</tbody></table></div>\n");
}

// How fast each drafter writes.
std::string TrialsTable(const json& calibration) {
  double most = 0.0, plain = NAN;
  const json& trials = ListIn(calibration, "trials");
  for (const json& trial : trials) {
    const double speed = NumberIn(trial, "tokens_per_second");
    if (speed > most) most = speed;
    if (StringIn(trial, "drafter") == "none") plain = speed;
  }
  std::string rows;
  size_t count = 0;
  for (const json& trial : trials) {
    if (++count > kMostTableRows) break;
    const double speed = NumberIn(trial, "tokens_per_second");
    const double drafts = NumberIn(trial, "drafts");
    const bool tree = trial.is_object() && trial.contains("tree") && trial["tree"] == true;
    const std::string drafter = StringIn(trial, "drafter");
    absl::StrAppend(&rows, "<tr", speed == most ? " class=\"set\"" : "", "><th scope=\"row\">",
                    drafter == "none" ? "plain decoding" : Escaped(drafter),
                    tree         ? ", tree of "
                    : drafts > 0 ? ", chain of "
                                 : "",
                    drafts > 0 ? NumberText(drafts, Unit::kPlain) : "", "</th>",
                    UnitCell(NumberIn(trial, "tau"), Unit::kPlain), UnitCell(speed, Unit::kPlain),
                    TimesCell(speed / plain), BarCell(speed, most), "</tr>");
  }
  return TableHtml("Speed of each drafter, greedy, one sequence at a time",
                   "<th></th><th>tokens per pass</th><th>tokens per second</th><th>of plain</th>"
                   "<th></th>",
                   rows);
}

std::string HeadsTable(const json& calibration) {
  std::string rows, head = "<th></th><th>tokens reached</th>";
  for (size_t rank = 1; rank <= kRanksShown; ++rank)
    absl::StrAppend(&head, "<th>rank ", rank, "</th>");
  size_t number = 0;
  for (const json& item : ListIn(calibration, "heads")) {
    if (++number > kMostTableRows) break;
    std::vector<double> ranks = NumbersIn(item, "acceptance_by_rank");
    ranks.resize(kRanksShown, NAN);
    absl::StrAppend(&rows, "<tr><th scope=\"row\">head ", number + 1, "</th>",
                    UnitCell(NumberIn(item, "reached"), Unit::kCount));
    for (const double share : ranks) absl::StrAppend(&rows, UnitCell(share, Unit::kPercent));
    absl::StrAppend(&rows, UnitCell(NumberIn(item, "acceptance_in_chain"), Unit::kPercent),
                    "</tr>");
  }
  if (rows.empty()) return "";
  return TableHtml("How often the token of each rank is accepted", head + "<th>in a chain</th>",
                   rows);
}

// At 1, 2, 4, ... tokens.
std::string CostsTable(const json& calibration) {
  const std::vector<double> verify = NumbersIn(calibration, "verify_ms");
  if (verify.empty()) return "";
  double most = 0.0;
  for (const double ms : verify) most = ms > most ? ms : most;
  std::string rows;
  for (size_t tokens = 1; tokens <= verify.size(); tokens *= 2) {
    const double ms = verify[tokens - 1];
    absl::StrAppend(&rows, "<tr><th scope=\"row\">", tokens, "</th>", UnitCell(ms, Unit::kPlain),
                    TimesCell(ms / verify[0]), BarCell(ms, most), "</tr>");
  }
  return TableHtml("Cost of a pass by its tokens",
                   "<th>tokens</th><th>milliseconds</th><th>of one token</th><th></th>", rows);
}

std::string CalibrationHtml(const Run& run) {
  const json& c = run.calibration;
  if (!c.is_object()) return "";
  std::string about = absl::StrCat(
      "Calibrated on ", Escaped(StringIn(c, "checkpoint")), ", ", Escaped(StringIn(c, "compute")),
      ", ", NumberText(NumberIn(c, "tensor"), Unit::kPlain), " tensor rank(s), ",
      NumberText(NumberIn(c, "threads"), Unit::kPlain), " thread(s) each.");
  // Of heads that draft side by side.
  const size_t drafts = ListIn(c, "tree").size();
  if (!ListIn(c, "heads").empty())
    absl::StrAppend(&about, " Acceptance is that of ",
                    NumberText(NumberIn(c, "tokens"), Unit::kCount), " tokens of held-out text.");
  if (!ListIn(c, "heads").empty() && drafts == 0)
    about += " No tree of drafts is predicted to be faster than plain decoding.";
  if (drafts > 0)
    absl::StrAppend(&about, " The best tree has ", drafts, " drafts: predicted ",
                    NumberText(NumberIn(c, "predicted_tau"), Unit::kPlain), " tokens per pass, ",
                    absl::StrFormat("%.2f", NumberIn(c, "predicted_speedup")), "× plain decoding.");
  return absl::StrCat("<p>", about, "</p>", TrialsTable(c), HeadsTable(c), CostsTable(c));
}

std::string ReportsHtml(const Run& run) {
  std::string rows;
  size_t count = 0;
  for (const json& r : run.decoding) {
    if (++count > kMostTableRows) break;
    const json none = json::object();
    const json& all = r.contains("decoding") ? r["decoding"] : none;
    const json& plain = r.contains("plain") ? r["plain"] : none;
    std::string accepted;
    for (const double share : NumbersIn(r, "acceptance_conditional"))
      absl::StrAppend(&accepted, accepted.empty() ? "" : " ", NumberText(share, Unit::kPercent));
    absl::StrAppend(
        &rows, "<tr><th scope=\"row\">", Escaped(StringIn(r, "drafter")), "</th><td>",
        Escaped(StringIn(r, "verification")), "</td>", UnitCell(NumberIn(all, "tau"), Unit::kPlain),
        UnitCell(NumberIn(all, "tokens_per_second"), Unit::kPlain),
        UnitCell(NumberIn(plain, "tokens_per_second"), Unit::kPlain),
        TimesCell(NumberIn(r, "speedup_measured")), TimesCell(NumberIn(r, "speedup_predicted")),
        "<td>", accepted, "</td><td>", NumberText(NumberIn(r, "same_text"), Unit::kPlain), " of ",
        NumberText(NumberIn(r, "sequences"), Unit::kPlain), "</td></tr>");
  }
  if (rows.empty()) return "";
  return TableHtml("Decoding, as generate --report measured it",
                   "<th>drafts by</th><th>verified by</th><th>tokens per pass</th><th>tokens per "
                   "second</th><th>plain</th><th>measured</th><th>predicted</th><th>accepted, by "
                   "position</th><th>same text as plain</th>",
                   rows);
}

}  // namespace

std::string DecodingHtml(absl::Span<const Run> runs) {
  std::string html;
  for (const Run& run : runs) {
    const std::string one = absl::StrCat(CalibrationHtml(run), ReportsHtml(run));
    if (one.empty()) continue;
    if (runs.size() > 1) absl::StrAppend(&html, "<h3>", Escaped(run.name), "</h3>");
    absl::StrAppend(&html, one);
  }
  return html;
}

}  // namespace tl
