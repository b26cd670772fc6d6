// SPDX-License-Identifier: Apache-2.0
// JSON as Python writes it.
#include "base/json.h"

#include <gtest/gtest.h>

namespace tl {
namespace {

TEST(PythonJson, TakesNumbersThatAreNone) {
  const std::string text =
      "{\n  \"a\": NaN,\n  \"b\": [\n    -Infinity,\n    Infinity,\n    1.5\n  ],\n"
      "  \"c\": \"NaN and \\\"Infinity\\\" \\\\\"\n}\n";
  const auto json = ParseOrderedPythonJson(text, "x.json");
  ASSERT_TRUE(json.ok()) << json.status();
  EXPECT_EQ((*json)["b"][2], 1.5);
  EXPECT_EQ((*json)["c"], "NaN and \"Infinity\" \\");
  EXPECT_EQ(DumpPythonJson(*json), text);
  EXPECT_TRUE(ParsePythonJson(text, "x.json").ok());
  EXPECT_FALSE(ParseJson(text, "x.json").ok());
}

TEST(PythonJson, RefusesTheRest) {
  for (const char* text : {"{\"a\": Nan}", "{NaN: 1}x", "{\"a\": NaNN}", "{\"a\": 1, \"a\": NaN}",
                           "{\"a\": \"", "\\", "-"})
    EXPECT_FALSE(ParsePythonJson(text, "x.json").ok()) << text;
}

}  // namespace
}  // namespace tl
