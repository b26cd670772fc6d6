// SPDX-License-Identifier: Apache-2.0
#include "report/page.h"

#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/files.h"
#include "base/status.h"
#include "report/config_tables.h"
#include "report/decoding.h"
#include "report/escape.h"
#include "report/figures.h"
#include "report/style.h"
#include "report/summary.h"

namespace tl {
namespace {

constexpr char kBegin[] = "<!DOCTYPE html>\n<!-- trunkline report -->\n";

// Nothing of the page may load or run anything, whatever a name in it holds.
constexpr char kPolicy[] =
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
    "'unsafe-inline'; img-src data:\">\n";

std::string Section(const std::string& id, const std::string& title, const std::string& html) {
  if (html.empty()) return "";
  return absl::StrCat("<section id=\"", id, "\"><h2>", title, "</h2>\n", html, "</section>\n");
}

}  // namespace

std::string PageHtml(absl::Span<const Run> runs) {
  const std::string names = Escaped(
      absl::StrJoin(runs, ", ", [](std::string* out, const Run& run) { out->append(run.name); }));
  std::string figures;
  for (const Chart& chart : MakeFigures(runs)) absl::StrAppend(&figures, ChartHtml(chart));
  if (figures.empty()) figures = "<p>No step is recorded yet.</p>\n";
  const bool one = runs.size() == 1;
  return absl::StrCat(
      kBegin, "<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n", kPolicy,
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<link rel=\"icon\" href=\"data:,\">\n<title>",
      names, " · trunkline report</title>\n<style>\n", StyleSheet(), "</style>\n</head>\n<body>\n",
      "<header><p>trunkline report</p><h1>", names, "</h1>",
      one ? absl::StrCat("<p class=\"outcome\">", Escaped(OutcomeText(runs[0])), "</p>") : "",
      "</header>\n"
      "<input type=\"radio\" name=\"over\" id=\"over-tokens\" checked>"
      "<input type=\"radio\" name=\"over\" id=\"over-time\">\n<main",
      one ? "" : " class=\"several\"", ">\n",
      one ? OutcomeHtml(runs) : Section("outcome", "Outcome", OutcomeHtml(runs)),
      Section("differences", "Differences of the configs", DifferencesHtml(runs)),
      "<section id=\"curves\"><h2>Curves</h2><p class=\"choice\">over "
      "<label for=\"over-tokens\">tokens</label><label for=\"over-time\">time</label></p>\n"
      "<div class=\"figures\">\n",
      figures, "</div></section>\n", Section("decoding", "Decoding", DecodingHtml(runs)),
      Section("setup", "What was trained", FactsHtml(runs)),
      Section("config", "Config", ConfigsHtml(runs)), "</main>\n</body>\n</html>\n");
}

bool IsReport(absl::string_view begin) { return absl::StartsWith(begin, kBegin); }

absl::Status WriteReport(absl::Span<const std::string> run_dirs, const std::string& out) {
  TL_RETURN_IF_ERROR(CheckReplaceable(out, IsReport, "a report", {}));
  TL_ASSIGN_OR_RETURN(const std::vector<Run> runs, LoadRuns(run_dirs));
  return ReplaceFile(out, PageHtml(runs));
}

}  // namespace tl
