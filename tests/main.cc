// SPDX-License-Identifier: Apache-2.0
// The main program of the tests of a folder. --file=NAME_test.cc, given any number of times, leaves
// of what --gtest_filter matches the tests of these files alone.
#include <fnmatch.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <set>
#include <string>
#include <string_view>

#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"

namespace {

// Tells whether NAME matches one of FILTER's patterns, which stand between colons.
bool MatchesAny(const std::string& name, const std::string& filter) {
  for (const absl::string_view pattern : absl::StrSplit(filter, ':')) {
    if (fnmatch(std::string(pattern).c_str(), name.c_str(), FNM_NOESCAPE) == 0) return true;
  }
  return false;
}

// Tells whether FILTER, as GoogleTest writes it, leaves a test in: "TAKEN", "TAKEN-LEFT_OUT".
bool Takes(const std::string& filter, const std::string& name) {
  const size_t minus = filter.find('-');
  const std::string taken = filter.substr(0, minus);
  if (!MatchesAny(name, taken.empty() ? "*" : taken)) return false;
  return minus == std::string::npos || !MatchesAny(name, filter.substr(minus + 1));
}

// Sets the filter to the tests of FILES that it takes. A file without a test is an error.
bool FilterByFile(const std::set<std::string>& files) {
  const testing::UnitTest& tests = *testing::UnitTest::GetInstance();
  const std::string filter = GTEST_FLAG_GET(filter);
  std::set<std::string> found;
  std::string names;
  for (int i = 0; i < tests.total_test_suite_count(); ++i) {
    const testing::TestSuite& suite = *tests.GetTestSuite(i);
    for (int j = 0; j < suite.total_test_count(); ++j) {
      const testing::TestInfo& test = *suite.GetTestInfo(j);
      const std::string file = std::filesystem::path(test.file()).filename().string();
      if (!files.contains(file)) continue;
      found.insert(file);
      const std::string name = std::string(suite.name()) + "." + test.name();
      if (Takes(filter, name)) names += (names.empty() ? "" : ":") + name;
    }
  }
  for (const std::string& file : files) {
    if (found.contains(file)) continue;
    std::fprintf(stderr, "--file=%s: this program has no test of such a file\n", file.c_str());
    return false;
  }
  GTEST_FLAG_SET(filter, names.empty() ? "-*" : names);
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  constexpr std::string_view kFile = "--file=";
  std::set<std::string> files;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (!argument.starts_with(kFile)) {
      std::fprintf(stderr, "unknown argument %s\n", argv[i]);
      return EXIT_FAILURE;
    }
    files.emplace(argument.substr(kFile.size()));
  }
  if (!files.empty() && !FilterByFile(files)) return EXIT_FAILURE;
  return RUN_ALL_TESTS();
}
