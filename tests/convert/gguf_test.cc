// SPDX-License-Identifier: Apache-2.0
// GGUF files, read back by the format's definition.
#include "convert/gguf.h"

#include <gtest/gtest.h>

#include "absl/strings/str_format.h"
#include "base/json.h"
#include "convert/gguf_tokenizer.h"
#include "model/rope_table.h"
#include "tests/convert/memory_source.h"

namespace tl {
namespace {

// The whole file in memory, values as JSON.
struct Gguf {
  explicit Gguf(const std::string& path) : bytes(ReadTextFile(path, 1 << 26).value()) {
    EXPECT_EQ(bytes.substr(0, 4), "GGUF");
    at = 4;
    EXPECT_EQ(Take<uint32_t>(), 3u);
    const auto tensor_count = Take<uint64_t>(), key_count = Take<uint64_t>();
    for (uint64_t i = 0; i < key_count; ++i) {
      const std::string key = Text();
      EXPECT_FALSE(metadata.contains(key)) << key;
      metadata[key] = Value(Take<uint32_t>());
    }
    for (uint64_t i = 0; i < tensor_count; ++i) {
      Info info;
      const std::string name = Text();
      const auto rank = Take<uint32_t>();
      for (uint32_t d = 0; d < rank; ++d) info.dims.push_back(Take<uint64_t>());
      info.type = Take<uint32_t>();
      info.offset = Take<uint64_t>();
      EXPECT_EQ(info.offset % 32, 0u) << name;
      EXPECT_TRUE(tensors.emplace(name, info).second) << name;
    }
    data = (at + 31) / 32 * 32;
  }
  template <typename T>
  T Take() {
    T value{};
    EXPECT_LE(at + sizeof(T), bytes.size());
    std::memcpy(&value, bytes.data() + at, sizeof(T));
    at += sizeof(T);
    return value;
  }
  std::string Text() {
    const auto size = Take<uint64_t>();
    at += size;
    return bytes.substr(at - size, size);
  }
  nlohmann::json Value(uint32_t type) {
    if (type == 4) return Take<uint32_t>();
    if (type == 5) return Take<int32_t>();
    if (type == 6) return Take<float>();
    if (type == 7) return Take<uint8_t>() != 0;
    if (type == 8) return Text();
    EXPECT_EQ(type, 9u);
    const auto inner = Take<uint32_t>();
    const auto count = Take<uint64_t>();
    nlohmann::json list = nlohmann::json::array();
    for (uint64_t i = 0; i < count; ++i) list.push_back(Value(inner));
    return list;
  }

  struct Info {
    std::vector<uint64_t> dims;
    uint32_t type = 0;
    uint64_t offset = 0;
  };
  // Elements of an fp32 tensor.
  std::vector<float> Floats(const std::string& name) const {
    const Info& info = tensors.at(name);
    EXPECT_EQ(info.type, 0u);
    uint64_t elements = 1;
    for (const uint64_t dim : info.dims) elements *= dim;
    std::vector<float> values(elements);
    EXPECT_LE(data + info.offset + 4 * elements, bytes.size());
    std::memcpy(values.data(), bytes.data() + data + info.offset, 4 * elements);
    return values;
  }

  std::string bytes;
  size_t at = 0, data = 0;
  nlohmann::json metadata;
  std::map<std::string, Info> tensors;
};

TEST(Gguf, HoldsALlama) {
  Config config = ConvertConfig();
  config.model.rope_scaling = {
      .factor = 8, .low_freq_factor = 1, .high_freq_factor = 4, .original_context = 64};
  MemorySource source(config);
  const std::string out = NewPath("llama");
  const auto report = Export(JobOf(config, source), "gguf", out);
  ASSERT_TRUE(report.ok()) << report.status();
  const Gguf gguf(out + "/model.gguf");
  const nlohmann::json& m = gguf.metadata;
  EXPECT_EQ(m["general.architecture"], "llama");
  EXPECT_EQ(m["general.name"], "test");
  EXPECT_EQ(m["general.file_type"], 0);
  EXPECT_EQ(m["llama.block_count"], 2);
  EXPECT_EQ(m["llama.context_length"], 64);
  EXPECT_EQ(m["llama.embedding_length"], 48);
  EXPECT_EQ(m["llama.feed_forward_length"], 80);
  EXPECT_EQ(m["llama.attention.head_count"], 4);
  EXPECT_EQ(m["llama.attention.head_count_kv"], 2);
  EXPECT_EQ(m["llama.attention.key_length"], 32);
  EXPECT_EQ(m["llama.rope.dimension_count"], 32);
  EXPECT_EQ(m["llama.rope.freq_base"], 10000.0f);
  EXPECT_EQ(m["llama.attention.layer_norm_rms_epsilon"], 1e-5f);

  EXPECT_EQ(gguf.tensors.size(), source.tensors().size() + 1) << "and rope_freqs.weight";
  EXPECT_EQ(gguf.tensors.at("blk.1.ffn_down.weight").dims, (std::vector<uint64_t>{80, 48}));
  EXPECT_TRUE(
      SameBits(gguf.Floats("blk.1.ffn_down.weight"), source.values("layers.1.mlp.down.weight")));
  EXPECT_TRUE(SameBits(gguf.Floats("token_embd.weight"), source.values("embedding.weight")));
  EXPECT_TRUE(SameBits(gguf.Floats("output_norm.weight"), source.values("final_norm.weight")));

  // llama.cpp rotates rows 2 j and 2 j + 1 of a head; here rows j and j + 16.
  for (const auto& [name, ours, heads] :
       {std::tuple("blk.0.attn_q.weight", "layers.0.attention.q.weight", 4),
        std::tuple("blk.1.attn_k.weight", "layers.1.attention.k.weight", 2)}) {
    const std::vector<float> written = gguf.Floats(name);
    const std::vector<float>& from = source.values(ours);
    for (int h = 0; h < heads; ++h) {
      for (int j = 0; j < 16; ++j) {
        for (int c = 0; c < 48; ++c) {
          ASSERT_EQ(written[((h * 16 + j) * 2 + 0) * 48 + c], from[(h * 32 + j) * 48 + c]);
          ASSERT_EQ(written[((h * 16 + j) * 2 + 1) * 48 + c], from[(h * 32 + 16 + j) * 48 + c]);
        }
      }
    }
  }
  // Plain frequencies divided by these are the model's.
  const std::vector<float> divisors = gguf.Floats("rope_freqs.weight");
  const std::vector<double> frequencies = RopeFrequencies(config.model);
  ASSERT_EQ(divisors.size(), 16u);
  for (size_t j = 0; j < 16; ++j) {
    const double plain = std::pow(10000.0, -2.0 * static_cast<double>(j) / 32);
    EXPECT_NEAR(plain / divisors[j], frequencies[j], 1e-6 * frequencies[j]) << j;
  }
  EXPECT_EQ(divisors[0], 1.0f);
  EXPECT_EQ(divisors[15], 8.0f);
}

TEST(Gguf, OtherArchitecturesAndTypes) {
  Config config = ConvertConfig();
  config.model.qkv_bias = true;
  const MemorySource qwen2(config);
  ExportJob job = JobOf(config, qwen2);
  job.dtype = DType::kBF16;
  ASSERT_TRUE(Export(job, "gguf", NewPath("qwen2")).ok());
  const Gguf gguf(Folder() + "/qwen2/model.gguf");
  EXPECT_EQ(gguf.metadata["general.architecture"], "qwen2");
  EXPECT_EQ(gguf.metadata["general.file_type"], 32);
  EXPECT_EQ(gguf.metadata["qwen2.block_count"], 2);
  EXPECT_EQ(gguf.tensors.at("blk.0.attn_q.weight").type, 30u);
  EXPECT_EQ(gguf.tensors.at("blk.0.attn_q.bias").type, 0u) << "vectors stay fp32";
  // Not interleaved: llama.cpp rotates halves in this architecture.
  const size_t at = gguf.data + gguf.tensors.at("blk.0.attn_q.weight").offset;
  const auto& from = const_cast<MemorySource&>(qwen2).values("layers.0.attention.q.weight");
  for (size_t i = 0; i < from.size(); ++i) {
    uint16_t bits = 0;
    std::memcpy(&bits, gguf.bytes.data() + at + 2 * i, 2);
    ASSERT_EQ(bits, FromFloat<BF16>(from[i]).bits) << i;
  }

  config.model.qkv_bias = false;
  config.model.qk_norm = true;
  const MemorySource qwen3(config);
  ASSERT_TRUE(Export(JobOf(config, qwen3), "gguf", NewPath("qwen3")).ok());
  EXPECT_EQ(Gguf(Folder() + "/qwen3/model.gguf").tensors.count("blk.1.attn_q_norm.weight"), 1u);

  config.model.rope_scaling.factor = 2.0;
  const MemorySource scaled(config);
  ExpectError(Export(JobOf(config, scaled), "gguf", NewPath("x")).status(), "plain trunks alone");
  config = ConvertConfig();
  config.model.sliding_window = 8;
  const MemorySource window(config);
  ExpectError(Export(JobOf(config, window), "gguf", NewPath("x")).status(),
              "has no sliding window ([model] sliding_window = 8)");
}

// The tokenizer keys of a file without tensors.
nlohmann::json TokenizerKeys(const ModelText& text, int64_t vocab) {
  GgufMetadata metadata;
  const absl::Status status = AddGgufTokenizer(text, vocab, metadata);
  EXPECT_TRUE(status.ok()) << status;
  const std::string path = Folder() + "/tokenizer.gguf";
  EXPECT_TRUE(GgufWriter::Create(path, metadata, {}).value()->Finish().ok());
  return Gguf(path).metadata;
}

TEST(GgufTokenizer, Bytes) {
  const nlohmann::json m = TokenizerKeys(TextOf(MakeByteTokenizer()), 258);
  EXPECT_EQ(m["tokenizer.ggml.model"], "gpt2");
  const nlohmann::json& tokens = m["tokenizer.ggml.tokens"];
  ASSERT_EQ(tokens.size(), 258u);
  EXPECT_EQ(tokens['A'], "A");
  EXPECT_EQ(tokens[' '], "\u0120");
  EXPECT_EQ(tokens['\n'], "\u010a");
  EXPECT_EQ(tokens[0], "\u0100");
  EXPECT_EQ(tokens[255], "\u00ff");
  EXPECT_EQ(tokens[257], "[PAD257]");
  EXPECT_EQ(m["tokenizer.ggml.token_type"][255], 1);
  EXPECT_EQ(m["tokenizer.ggml.token_type"][256], 5);
  EXPECT_TRUE(m["tokenizer.ggml.merges"].empty());
  EXPECT_EQ(m["tokenizer.ggml.eos_token_id"], 0);
  EXPECT_EQ(m["tokenizer.ggml.add_bos_token"], false);
}

TEST(GgufTokenizer, ByteLevelBpe) {
  const std::string golden = std::string(TL_SOURCE_DIR) + "/tests/data/golden/";
  for (const auto& [file, pre] : {std::pair("gpt2", "gpt-2"), std::pair("qwen2", "qwen2"),
                                  std::pair("llama3-ignore-merges", "llama-bpe")}) {
    const std::shared_ptr<const Tokenizer> tokenizer =
        LoadTokenizer(golden + file + ".json").value();
    const nlohmann::json m = TokenizerKeys(TextOf(tokenizer), 410);
    const auto root = nlohmann::json::parse(tokenizer->definition());
    EXPECT_EQ(m["tokenizer.ggml.pre"], pre);
    EXPECT_EQ(m["tokenizer.ggml.tokens"].size(), 410u);
    EXPECT_EQ(m["tokenizer.ggml.tokens"][0], "<|endoftext|>");
    EXPECT_EQ(m["tokenizer.ggml.token_type"][0], 3) << "control";
    EXPECT_EQ(m["tokenizer.ggml.token_type"][409], 5) << "unused";
    EXPECT_EQ(m["tokenizer.ggml.eos_token_id"], 0);
    ASSERT_EQ(m["tokenizer.ggml.merges"].size(), root["model"]["merges"].size());
    for (const auto& [token, id] : root["model"]["vocab"].items())
      EXPECT_EQ(m["tokenizer.ggml.tokens"][id.get<size_t>()], token);
    const std::string merge = m["tokenizer.ggml.merges"][7];
    const auto& expected = root["model"]["merges"][7];
    EXPECT_EQ(merge, expected.is_string()
                         ? expected.get<std::string>()
                         : expected[0].get<std::string>() + " " + expected[1].get<std::string>());
  }
  nlohmann::json older =
      nlohmann::json::parse(LoadTokenizer(golden + "gpt2.json").value()->definition());
  const nlohmann::json merges =
      TokenizerKeys(TextOf(MakeJsonTokenizer(older.dump()).value()), 410)["tokenizer.ggml.merges"];
  older["model"]["ignore_merges"] = nullptr;
  older["pre_tokenizer"]["use_regex"] = nullptr;
  older["model"]["merges"].insert(older["model"]["merges"].begin(), "#version: 0.2");
  EXPECT_EQ(
      TokenizerKeys(TextOf(MakeJsonTokenizer(older.dump()).value()), 410)["tokenizer.ggml.merges"],
      merges);
  // Without an end of text llama.cpp would stop at token 11: one that is no text stands for it.
  nlohmann::json endless =
      nlohmann::json::parse(LoadTokenizer(golden + "gpt2.json").value()->definition());
  endless["added_tokens"] = nlohmann::json::array();
  const std::shared_ptr<const Tokenizer> no_end = MakeJsonTokenizer(endless.dump()).value();
  ASSERT_LT(no_end->end_id(), 0);
  const int64_t size = no_end->vocab_size();
  EXPECT_EQ(TokenizerKeys({.tokenizer = no_end}, size + 2)["tokenizer.ggml.eos_token_id"], size);
  GgufMetadata full;
  ExpectError(AddGgufTokenizer({.tokenizer = no_end}, size, full), "wants a token that ends texts");
  GgufMetadata metadata;
  ExpectError(
      AddGgufTokenizer(TextOf(LoadTokenizer(golden + "gpt2-prefix.json").value()), 410, metadata),
      "llama.cpp has no name for this tokenizer's way of splitting words");
  ExpectError(
      AddGgufTokenizer(TextOf(LoadTokenizer(golden + "digits.json").value()), 410, metadata),
      "llama.cpp has no lstrip, which added_tokens asks for '<sep>'");
}

// A tokenizer.json of characters: what its merges make first has the highest score.
TEST(GgufTokenizer, BpeOfCharacters) {
  using Json = nlohmann::json;
  Json vocab = {{"<unk>", 0}, {"</s>", 1}, {"\u2581", 2}, {"a", 3},   {"b", 4},
                {"c", 5},     {"ab", 6},   {"bc", 7},     {"abc", 8}, {"\u2581a", 9}};
  for (int b = 0; b < 256; ++b) vocab[absl::StrFormat("<0x%02X>", b)] = 10 + b;
  const Json replace = {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", "\u2581"}};
  Json root = {{"added_tokens", {{{"id", 1}, {"content", "</s>"}, {"special", true}}}},
               {"normalizer",
                {{"type", "Sequence"},
                 {"normalizers", {{{"type", "Prepend"}, {"prepend", "\u2581"}}, replace}}}},
               {"pre_tokenizer", nullptr},
               {"decoder", {{"type", "ByteFallback"}}},
               {"model",
                {{"type", "BPE"},
                 {"unk_token", "<unk>"},
                 {"byte_fallback", true},
                 {"vocab", vocab},
                 {"merges", {"b c", "\u2581 a", "a b", "ab c", "a bc"}}}}};
  const Json m = TokenizerKeys(TextOf(MakeJsonTokenizer(root.dump()).value()), 270);
  EXPECT_EQ(m["tokenizer.ggml.model"], "llama");
  EXPECT_EQ(m["tokenizer.ggml.add_space_prefix"], true);
  EXPECT_EQ(m["tokenizer.ggml.eos_token_id"], 1);
  EXPECT_EQ(m["tokenizer.ggml.unknown_token_id"], 0);
  EXPECT_EQ(m["tokenizer.ggml.scores"][7], 0.0f);
  EXPECT_EQ(m["tokenizer.ggml.scores"][9], -1.0f);
  EXPECT_EQ(m["tokenizer.ggml.scores"][6], -2.0f);
  EXPECT_EQ(m["tokenizer.ggml.scores"][8], -3.0f);
  EXPECT_EQ(m["tokenizer.ggml.token_type"][20], 6);   // a byte
  EXPECT_EQ(m["tokenizer.ggml.token_type"][269], 5);  // not in use
  // null is as good as nothing, and a line that names a version is no merge.
  Json older = root;
  for (const char* key : {"lstrip", "rstrip", "single_word"})
    older["added_tokens"][0][key] = nullptr;
  older["model"]["ignore_merges"] = nullptr;
  older["model"]["merges"].insert(older["model"]["merges"].begin(), "#version: 0.2");
  EXPECT_EQ(TokenizerKeys(TextOf(MakeJsonTokenizer(older.dump()).value()), 270), m);
  const auto refused = [&](const char* part, const char* key, const Json& value,
                           const std::string& message) {
    Json other = root;
    (key == nullptr ? other[part] : other[part][key]) = value;
    GgufMetadata metadata;
    ExpectError(AddGgufTokenizer(TextOf(MakeJsonTokenizer(other.dump()).value()), 270, metadata),
                message);
  };
  refused("model", "merges", {"b c", "a b", "ab c", "\u2581 a"},
          "llama.cpp would make 'abc' of 'a' and 'bc', which model.merges does not");
  refused("model", "merges", {"b c", "ab c", "a b", "a bc", "\u2581 a"},
          "model.merges makes 'abc' in several places");
  refused("model", "byte_fallback", false, "expected BPE with byte_fallback");
  refused("normalizer", nullptr, nullptr, "expected spaces replaced by U+2581");
  refused("pre_tokenizer", nullptr, {{"type", "WhitespaceSplit"}}, "and pre_tokenizer {\"type\":");
  Json metaspace = root;
  metaspace["normalizer"] = nullptr;
  metaspace["pre_tokenizer"] = {{"type", "Metaspace"},
                                {"replacement", "\u2581"},
                                {"prepend_scheme", "first"},
                                {"split", false}};
  EXPECT_EQ(TokenizerKeys(TextOf(MakeJsonTokenizer(metaspace.dump()).value()),
                          270)["tokenizer.ggml.add_space_prefix"],
            true);
  root["normalizer"] = replace;
  EXPECT_EQ(TokenizerKeys(TextOf(MakeJsonTokenizer(root.dump()).value()),
                          270)["tokenizer.ggml.add_space_prefix"],
            false);
  const std::string seeds = TL_SOURCE_DIR "/tests/fuzz/tokenizer_json/";
  GgufMetadata metadata;
  ExpectError(AddGgufTokenizer(TextOf(LoadTokenizer(seeds + "t5.json").value()), 1000, metadata),
              "found model type 'Unigram'");
  EXPECT_EQ(TokenizerKeys(TextOf(LoadTokenizer(seeds + "incomplete.json").value()),
                          1000)["tokenizer.ggml.pre"],
            "smollm");
}

TEST(GgufTokenizer, HasTheRulesOfTexts) {
  ModelText text = TextOf(LoadTokenizer(TL_SOURCE_DIR "/tests/data/golden/qwen2.json").value());
  text.rules = {.begin = 1, .adds_begin = true, .ends = {300, 0, 17}, .pad = 5};
  text.files["tokenizer_config.json"] = R"({"chat_template": "{{ messages }}"})";
  const nlohmann::json m = TokenizerKeys(text, 410);
  EXPECT_EQ(m["tokenizer.ggml.bos_token_id"], 1);
  EXPECT_EQ(m["tokenizer.ggml.add_bos_token"], true);
  EXPECT_EQ(m["tokenizer.ggml.eos_token_id"], 300);
  EXPECT_EQ(m["tokenizer.ggml.eot_token_id"], 0);
  EXPECT_EQ(m["tokenizer.ggml.eom_token_id"], 17);
  EXPECT_EQ(m["tokenizer.ggml.padding_token_id"], 5);
  EXPECT_EQ(m["tokenizer.chat_template"], "{{ messages }}");
}

TEST(GgufTokenizer, SentencePiece) {
  const std::string text = Folder() + "/text.txt", model = Folder() + "/sp.model";
  std::string words;
  for (int i = 0; i < 300; ++i) words += "the word number " + std::to_string(i) + " is here\n";
  FILE* file = std::fopen(text.c_str(), "wb");
  std::fwrite(words.data(), 1, words.size(), file);
  std::fclose(file);
  ASSERT_TRUE(TrainSentencePiece({text}, 300, model).ok());
  const std::shared_ptr<const Tokenizer> tokenizer = LoadTokenizer(model).value();
  const nlohmann::json m = TokenizerKeys(TextOf(tokenizer), 310);
  EXPECT_EQ(m["tokenizer.ggml.model"], "llama");
  EXPECT_EQ(m["tokenizer.ggml.add_space_prefix"], false);
  const nlohmann::json &tokens = m["tokenizer.ggml.tokens"],
                       &types = m["tokenizer.ggml.token_type"];
  EXPECT_EQ(tokens[0], "<unk>");
  EXPECT_EQ(types[0], 2);
  EXPECT_EQ(m["tokenizer.ggml.unknown_token_id"], 0);
  EXPECT_EQ(types[1], 3);
  EXPECT_EQ(m["tokenizer.ggml.eos_token_id"], tokenizer->end_id());
  // Every piece by its text: what decodes to it.
  int normal = 0, bytes = 0;
  for (int32_t id = 0; id < 300; ++id) {
    bytes += types[id] == 6;
    if (types[id] != 1) continue;
    ++normal;
    std::string piece = tokens[id];
    for (size_t at; (at = piece.find("\u2581")) != std::string::npos;) piece.replace(at, 3, " ");
    EXPECT_EQ(tokenizer->Decode({id}), piece) << id;
  }
  EXPECT_EQ(bytes, 256);
  EXPECT_GT(normal, 20);
  EXPECT_EQ(types[309], 5);
  // Merged earlier: a better score.
  const nlohmann::json& scores = m["tokenizer.ggml.scores"];
  EXPECT_GT(scores[259], scores[265]);
}

}  // namespace
}  // namespace tl
