// SPDX-License-Identifier: Apache-2.0
// A text that comes in pieces is the text, whatever the pieces cut apart.
#include "infer/text_output.h"

#include <gtest/gtest.h>

#include "base/philox.h"
#include "base/utf8.h"
#include "nlohmann/json.hpp"

namespace tl {
namespace {

std::string Json(const std::string& text) {
  const std::string quoted =
      nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  return quoted.substr(1, quoted.size() - 2);
}

struct Result {
  std::string text, pieces, json;
  bool whole_characters = true;  // in every piece
};

// Appends so many bytes at a time.
Result Stream(const std::string& bytes, size_t most, const std::vector<std::string>& stops) {
  Result result;
  TextOutput output(stops);
  bool done = false;
  const auto take = [&] {
    const std::string piece = output.Take();
    result.pieces += piece;
    result.json += Json(piece);
    result.whole_characters = result.whole_characters && ValidUtf8Prefix(piece) == piece.size();
  };
  for (size_t at = 0; at < bytes.size() && !done; at += most) {
    done = output.Append(bytes.substr(at, most));
    take();
  }
  output.Finish();
  take();
  result.text = output.text();
  return result;
}

TEST(TextOutput, HoldsBackPartsOfCharacters) {
  TextOutput output({});
  const auto next = [&](const std::string& bytes) {
    EXPECT_FALSE(output.Append(bytes));
    return output.Take();
  };
  EXPECT_EQ(next("a\xE2"), "a");
  EXPECT_EQ(next("\x82"), "");
  EXPECT_EQ(next("\xAC"), "\xE2\x82\xAC");
  EXPECT_EQ(next("\xE2\x82"), "");
  EXPECT_EQ(next("b"),
            "\xE2\x82"
            "b")
      << "never a character: told when that is sure";
  EXPECT_EQ(next("\xFF"), "\xFF");
  EXPECT_EQ(next("\xF0\x9F"), "");
  output.Finish();
  EXPECT_EQ(output.Take(), "\xF0\x9F") << "the end makes it sure";
}

TEST(TextOutput, HoldsBackAcrossStopStrings) {
  // The stop string's first byte is that of another character too.
  const std::string stop = "\xC3\xA9.";
  for (size_t most = 1; most <= 4; ++most) {
    const Result cut = Stream("x\xC3\xA8\xC3\xA9,\xC3\xA9.y", most, {stop});
    EXPECT_EQ(cut.text, "x\xC3\xA8\xC3\xA9,");
    EXPECT_EQ(cut.pieces, cut.text);
    EXPECT_TRUE(cut.whole_characters);
  }
  // One that begins within a character leaves its first byte, told at the end.
  const Result within = Stream("x\xC3\xA9y", 1, {"\xA9"});
  EXPECT_EQ(within.text, "x\xC3");
  EXPECT_EQ(within.pieces, within.text);
  EXPECT_EQ(within.json, Json(within.text));
}

TEST(TextOutput, PiecesMakeUpTheText) {
  const std::vector<std::string> parts = {"a",
                                          "\n",
                                          "\xC3\xA9",
                                          "\xE2\x82\xAC",
                                          "\xC3",
                                          "\x80",
                                          "\xF0\x9F\x98\x80",
                                          "\xF0\x9F\x98",
                                          "\xE2",
                                          "\xE2\x82",
                                          "\xFF",
                                          "\xED\xA0\x80"};
  for (uint64_t draw = 0; draw < 400; ++draw) {
    std::string bytes;
    bool valid = true;
    for (uint64_t i = 0; i < 40; ++i) {
      // Every other text is UTF-8.
      const std::string& part = parts[Philox(1, draw, i).w[0] % parts.size()];
      if (draw % 2 == 0 && ValidUtf8Prefix(part) != part.size()) continue;
      bytes += part;
      valid = valid && ValidUtf8Prefix(part) == part.size();
    }
    for (const std::vector<std::string>& stops :
         {std::vector<std::string>{}, {"\xC3\xA9\xE2\x82\xAC", "aa\n"}}) {
      const Result whole = Stream(bytes, bytes.size() + 1, stops);
      for (size_t most = 1; most <= 5; ++most) {
        const Result result = Stream(bytes, most, stops);
        EXPECT_EQ(result.text, whole.text);
        EXPECT_EQ(result.pieces, whole.text);
        EXPECT_EQ(result.json, Json(whole.text)) << "draw " << draw << ", " << most << " at a time";
        if (valid) {
          EXPECT_TRUE(result.whole_characters);
        }
      }
    }
  }
}

}  // namespace
}  // namespace tl
