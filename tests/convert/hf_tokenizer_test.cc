// SPDX-License-Identifier: Apache-2.0
// Exported tokenizer files: what they decode and encode, as far as can be told without their
// readers; tests/peers/ has those.
#include "convert/hf_tokenizer.h"

#include <gtest/gtest.h>

#include "base/json.h"
#include "data/sentencepiece_proto.h"

namespace tl {
namespace {

TEST(HfTokenizer, BytesAsByteLevelBpe) {
  const auto files = HuggingFaceTokenizer(*MakeByteTokenizer(), {}, 64).value();
  EXPECT_EQ(files.size(), 2u);
  const auto tokenizer = MakeJsonTokenizer(files.at("tokenizer.json")).value();
  EXPECT_EQ(tokenizer->vocab_size(), 256);
  EXPECT_EQ(tokenizer->end_id(), -1);
  std::string text;
  for (int c = 0; c < 128; ++c) text += static_cast<char>(c);
  text += " don't  \u00e9\u4e2d\U0001f600\r\n\t12345 <|endoftext|>";
  std::vector<int32_t> ids, bytes;
  ASSERT_TRUE(tokenizer->Encode(text, &ids).ok());
  ASSERT_TRUE(MakeByteTokenizer()->Encode(text, &bytes).ok());
  EXPECT_EQ(ids, bytes);
  EXPECT_EQ(tokenizer->Decode(ids), text);
  for (int32_t id = 0; id < 256; ++id)
    EXPECT_EQ(tokenizer->Decode({id}), std::string(1, static_cast<char>(id)));
  const auto config = ParseJson(files.at("tokenizer_config.json"), "tokenizer_config.json").value();
  EXPECT_EQ(config["model_max_length"], 64);
  EXPECT_FALSE(config.contains("eos_token"));
}

TEST(HfTokenizer, TokenizerJsonStaysAsItWas) {
  const auto tokenizer = LoadTokenizer(TL_SOURCE_DIR "/tests/data/golden/qwen2.json").value();
  const auto files = HuggingFaceTokenizer(*tokenizer, {.ends = {0}}, 64).value();
  EXPECT_EQ(files.at("tokenizer.json"), tokenizer->definition());
  EXPECT_EQ(ParseJson(files.at("tokenizer_config.json"), "")->at("eos_token"), "<|endoftext|>");
}

TEST(SentencePieceProto, RefusesDamage) {
  // Field 1 (a piece): "ab" with score 0 and type 4.
  const std::string piece =
      "\x0a\x02"
      "ab"
      "\x15" +
      std::string(4, '\0') + "\x18\x04";
  const std::string whole = "\x0a" + std::string(1, static_cast<char>(piece.size())) + piece;
  const auto proto = ParseSentencePieceProto(whole);
  ASSERT_TRUE(proto.ok());
  ASSERT_EQ(proto->pieces.size(), 1u);
  EXPECT_EQ(proto->pieces[0].text, "ab");
  EXPECT_EQ(proto->pieces[0].type, SentencePieceProto::Type::kUserDefined);
  for (size_t n = 0; n < whole.size(); ++n)
    EXPECT_FALSE(ParseSentencePieceProto(whole.substr(0, n)).ok()) << n;
  EXPECT_FALSE(ParseSentencePieceProto(std::string(20, '\xff')).ok());
  EXPECT_FALSE(ParseSentencePieceProto("\x0b").ok()) << "a group";
}

}  // namespace
}  // namespace tl
