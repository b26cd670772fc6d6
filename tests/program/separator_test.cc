// SPDX-License-Identifier: Apache-2.0
// `trunkline tokenize --separator` as a shell passes it on.
#include <gtest/gtest.h>

#include "tests/data/temp_folder.h"
#include "tests/program/job.h"

namespace tl {
namespace {

TEST(Separator, IsAsInCAndMissedWhereItIsNowhere) {
  SetJobEnvironment();
  const std::string text = Folder() + "/text.txt", out = Folder() + "/text.tok";
  WriteFile(text, "one\n\ntwo\n\nthree");
  const auto tokenize = [&](const std::string& separator) {
    return RunShell(ProgramLine(1, {"tokenize", "--tokenizer", "bytes", "--separator", separator,
                                    "--out", out, text}),
                    60);
  };
  const Outcome split = tokenize("\\n\\n");
  EXPECT_EQ(split.exit_code, 0) << split.output;
  EXPECT_NE(split.output.find("3 document"), std::string::npos) << split.output;
  EXPECT_EQ(Count(split.output, "--separator"), 0) << split.output;
  const Outcome whole = tokenize("\\x1e");
  EXPECT_EQ(whole.exit_code, 0) << whole.output;
  EXPECT_EQ(Count(whole.output, "--separator '\\x1e'"), 1) << whole.output;
  ExpectOneError(tokenize("\\q"), {"--separator \\q: expected a text with C's escapes"});
}

}  // namespace
}  // namespace tl
