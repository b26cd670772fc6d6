// SPDX-License-Identifier: Apache-2.0
#include "base/utf8.h"

#include <gtest/gtest.h>

#include <vector>

namespace tl {
namespace {

// Of all lengths, at the borders of what is allowed.
const std::vector<std::string> kCharacters = {"a",
                                              "\x7F",
                                              "\xC2\x80",
                                              "\xDF\xBF",
                                              "\xE0\xA0\x80",
                                              "\xED\x9F\xBF",
                                              "\xEF\xBF\xBF",
                                              "\xF0\x90\x80\x80",
                                              "\xF4\x8F\xBF\xBF"};
const std::vector<std::string> kNone = {
    "\x80", "\xC1\xBF", "\xE0\x9F\xBF", "\xED\xA0\x80", "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80",
    "\xF5", "\xFF"};

TEST(Utf8, PrefixEndsAtTheFirstByteThatIsNone) {
  for (const std::string& c : kCharacters) {
    EXPECT_EQ(ValidUtf8Prefix("12345678" + c + "z"), 9 + c.size());
    for (size_t n = 1; n < c.size(); ++n) EXPECT_EQ(ValidUtf8Prefix("1234" + c.substr(0, n)), 4u);
  }
  for (const std::string& bytes : kNone) EXPECT_EQ(ValidUtf8Prefix("123456789" + bytes), 9u);
}

TEST(Utf8, IncompleteIsWhatMayStillBecomeACharacter) {
  EXPECT_EQ(IncompleteUtf8Suffix(""), 0u);
  for (const std::string& before : {std::string(), std::string("ab"), std::string("\xFF"),
                                    std::string("\xE2\x82"), std::string("\xC3\xA9")}) {
    for (const std::string& c : kCharacters) {
      EXPECT_EQ(IncompleteUtf8Suffix(before + c), 0u);
      for (size_t n = 1; n < c.size(); ++n)
        EXPECT_EQ(IncompleteUtf8Suffix(before + c.substr(0, n)), n);
    }
  }
  for (const std::string& bytes : kNone) EXPECT_EQ(IncompleteUtf8Suffix(bytes), 0u);
  EXPECT_EQ(IncompleteUtf8Suffix("\xE0\x80"), 0u);
  EXPECT_EQ(IncompleteUtf8Suffix("\x80\x80\x80\x80"), 0u);
}

TEST(Utf8, ShortenedEndsAtACharacter) {
  EXPECT_EQ(Shortened("ab\xC3\xA9", 4), "ab\xC3\xA9");
  EXPECT_EQ(Shortened("ab\xC3\xA9z", 4), "ab\xC3\xA9");
  EXPECT_EQ(Shortened("ab\xC3\xA9z", 3), "ab");
  EXPECT_EQ(Shortened("ab\xC3", 3), "ab\xC3") << "as it is where it is short";
}

TEST(Utf8, OneLineHasNoControlCharacters) {
  EXPECT_EQ(OneLine("a \xC3\xA9 \"b\""), "a \xC3\xA9 \"b\"");
  EXPECT_EQ(OneLine("a\nb\t\x1B[0m\x7F"), "a\\nb\\t\\x1b[0m\\x7f");
  EXPECT_EQ(OneLine("m\xFCller\xE2\x82"), "m\\xfcller\\xe2\\x82");
}

}  // namespace
}  // namespace tl
