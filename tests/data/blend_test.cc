// SPDX-License-Identifier: Apache-2.0
#include "data/blend.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <set>

#include "base/philox.h"
#include "tests/data/temp_folder.h"

namespace tl {
namespace {

// A file of the tokens first, first + 1, ..., with documents that start at `starts`.
std::string MakeFile(const std::string& name, int32_t first, int64_t count,
                     std::vector<int64_t> starts = {}, int64_t vocab = 1 << 20) {
  const std::string path = Folder() + "/" + name;
  auto writer = TokenFileWriter::Create(path, vocab);
  EXPECT_TRUE(writer.ok()) << writer.status();
  for (int64_t i = 0; i < count; ++i) {
    if (std::count(starts.begin(), starts.end(), i) > 0) (*writer)->StartDocument();
    EXPECT_TRUE((*writer)->Append({static_cast<int32_t>(first + i)}, 3).ok());
  }
  EXPECT_TRUE((*writer)->Finish().ok());
  return path;
}

using Row = std::vector<int32_t>;

Row TokensOf(const HostBatch& b, int64_t row) {
  const int64_t width = b.sequence_length + b.lookahead;
  return {b.tokens.begin() + row * width, b.tokens.begin() + (row + 1) * width};
}

template <typename V>
Row RowOf(const V& values, int64_t row, int64_t width) {
  return {values.begin() + row * width, values.begin() + (row + 1) * width};
}

TEST(Permute, IsAPermutationOfAnySize) {
  for (uint64_t size : {1, 2, 3, 4, 5, 7, 8, 9, 31, 33, 100, 1000, 4097}) {
    for (uint64_t key = 0; key < 5; ++key) {
      std::set<uint64_t> seen;
      for (uint64_t i = 0; i < size; ++i) seen.insert(internal::Permute(key, size, i));
      EXPECT_EQ(seen.size(), size);
      EXPECT_EQ(*seen.rbegin(), size - 1);
    }
  }
  EXPECT_LT(internal::Permute(1, uint64_t{1} << 50, 12345), uint64_t{1} << 50);
}

TEST(Permute, LooksRandom) {
  // Every place is as likely as any other: chi-squared of where 0 goes, over keys.
  for (uint64_t size : {2, 3, 5, 16, 20}) {
    const int trials = 4000;
    std::vector<int> counts(size, 0);
    int neighbours = 0;
    for (int t = 0; t < trials; ++t) {
      const PhiloxWords w = Philox(7, t, 0);
      const uint64_t key = uint64_t{w.w[0]} << 32 | w.w[1];
      ++counts[internal::Permute(key, size, 0)];
      neighbours += internal::Permute(key, size, 1) == (internal::Permute(key, size, 0) + 1) % size;
    }
    double chi = 0;
    const double expected = static_cast<double>(trials) / static_cast<double>(size);
    for (int c : counts) chi += (c - expected) * (c - expected) / expected;
    const double freedom = static_cast<double>(size - 1);
    EXPECT_LT(chi, freedom + 5 * std::sqrt(2 * freedom)) << size;
    if (size > 3) {
      EXPECT_NEAR(neighbours, trials / freedom, 5 * std::sqrt(trials / freedom)) << size;
    }
  }
}

TEST(WeightedSplit, CountsEveryFileInOrderAndKeepsToTheWeights) {
  for (const std::vector<double>& weights :
       {std::vector<double>{1}, {1, 1}, {0.7, 0.2, 0.1}, {5, 1, 1e-6, 3, 2, 0.25, 8}}) {
    double sum = 0;
    for (double w : weights) sum += w;
    for (uint64_t seed : {1, 2}) {
      const internal::WeightedSplit split(weights, seed);
      std::vector<int64_t> next(weights.size(), 0);
      for (int64_t k = 0; k < 20000; ++k) {
        const auto place = split.Find(k);
        ASSERT_EQ(place.index, next[place.file]++) << k;
        for (size_t f = 0; f < weights.size(); ++f) {
          ASSERT_NEAR(next[f], (k + 1) * weights[f] / sum, 4.0) << k;
        }
      }
    }
  }
  const internal::WeightedSplit split({0.5, 0.5}, 1);
  const int64_t far = int64_t{1} << 60;
  EXPECT_NEAR(split.Find(far).index / static_cast<double>(far), 0.5, 1e-12);
}

TEST(Blend, VisitsEveryWindowOncePerEpoch) {
  const int64_t T = 8;
  // 3 windows; 20 that give up one.
  const std::string small = MakeFile("small.tok", 0, 3 * T + 4);
  const std::string large = MakeFile("large.tok", 1000, 20 * T + 1);
  auto source = OpenBlend({.files = {{small, 1.0}, {large, 3.0}}, .seed = 5, .vocab = 1 << 20});
  ASSERT_TRUE(source.ok()) << source.status();
  EXPECT_EQ((*source)->SampleCount(T), -1);
  EXPECT_EQ((*source)->TokenCount(), 3 * T + 4 + 20 * T + 1);
  EXPECT_DOUBLE_EQ((*source)->BytesPerToken(), 3.0);
  HostBatch batch;
  ASSERT_TRUE((*source)->FillBatch(0, 400, T, 1, &batch).ok());
  std::map<bool, std::vector<int64_t>> begins;
  for (int64_t i = 0; i < 400; ++i) {
    const Row row = TokensOf(batch, i);
    for (int64_t t = 0; t <= T; ++t) ASSERT_EQ(row[t], row[0] + t);
    begins[row[0] >= 1000].push_back(row[0] % 1000);
    EXPECT_EQ(RowOf(batch.targets(1), i, T), Row(row.begin() + 1, row.end()));
    EXPECT_EQ(RowOf(batch.inputs, i, T), Row(row.begin(), row.end() - 1));
  }
  EXPECT_NEAR(begins[false].size(), 100, 1);
  EXPECT_EQ(batch.TargetCount(1), 400 * T);
  const auto check = [&](const std::vector<int64_t>& all, size_t windows) {
    std::set<int64_t> offsets;
    std::set<std::vector<int64_t>> orders;
    for (size_t e = 0; (e + 1) * windows <= all.size(); ++e) {
      std::vector<int64_t> epoch(all.begin() + e * windows, all.begin() + (e + 1) * windows);
      const int64_t offset = *std::min_element(epoch.begin(), epoch.end());
      offsets.insert(offset);
      for (int64_t& b : epoch) b = (b - offset) / T;
      orders.insert(epoch);
      std::sort(epoch.begin(), epoch.end());
      for (size_t w = 0; w < windows; ++w) EXPECT_EQ(epoch[w], static_cast<int64_t>(w));
    }
    EXPECT_GT(offsets.size(), 1u);  // the cuts move
    EXPECT_GT(orders.size(), 1u);   // and so does the order
  };
  check(begins[false], 3);
  check(begins[true], 19);
}

TEST(Blend, DependsOnSeedAndSampleAlone) {
  const int64_t T = 16;
  const std::string a = MakeFile("a.tok", 0, 1000), b = MakeFile("b.tok", 5000, 700);
  const BlendOptions options{.files = {{a, 2.0}, {b, 1.0}}, .seed = 9, .vocab = 1 << 20};
  auto source = OpenBlend(options);
  auto again = OpenBlend(options);
  ASSERT_TRUE(source.ok() && again.ok());
  HostBatch whole, part;
  ASSERT_TRUE((*source)->FillBatch(1000, 64, T, 3, &whole).ok());
  // In any cut and order, as ranks would read it.
  for (int64_t begin : {48, 0, 32, 16}) {
    ASSERT_TRUE((*again)->FillBatch(1000 + begin, 16, T, 3, &part).ok());
    for (int64_t i = 0; i < 16; ++i) EXPECT_EQ(TokensOf(part, i), TokensOf(whole, begin + i));
  }
  // Another lookahead shows the same text.
  ASSERT_TRUE((*again)->FillBatch(1000, 64, T, 1, &part).ok());
  EXPECT_EQ(part.inputs, whole.inputs);
  for (int64_t k = 1; k <= 3; ++k) {
    for (int64_t i = 0; i < 64; ++i) {
      const Row row = TokensOf(whole, i);
      const Row targets = RowOf(whole.targets(k), i, T);
      for (int64_t t = 0; t < T; ++t) {
        // Only beyond the end of a file is a target missing.
        const bool present = row[t + k] != 0 || row[t] == 0;
        EXPECT_EQ(targets[t], present ? row[t] + k : -1);
      }
    }
  }
  BlendOptions other = options;
  other.seed = 10;
  auto different = OpenBlend(other);
  ASSERT_TRUE((*different)->FillBatch(1000, 64, T, 3, &part).ok());
  EXPECT_NE(part.tokens, whole.tokens);
}

TEST(Blend, KeepsPackedDocumentsApart) {
  // One window: tokens 0..12, documents at 0, 3, 4 and 9.
  const std::string path = MakeFile("packed.tok", 10, 13, {0, 3, 4, 9});
  auto source = OpenSequential({.files = {{path}}, .vocab = 1 << 20, .pack_documents = true});
  ASSERT_TRUE(source.ok()) << source.status();
  HostBatch b;
  ASSERT_TRUE((*source)->FillBatch(0, 1, 10, 3, &b).ok());
  EXPECT_EQ(b.segments, (Row{0, 0, 0, 1, 2, 2, 2, 2, 2, 3}));
  EXPECT_EQ(b.positions, (Row{0, 1, 2, 0, 0, 1, 2, 3, 4, 0}));
  EXPECT_EQ(RowOf(b.targets(1), 0, 10), (Row{11, 12, -1, -1, 15, 16, 17, 18, -1, 20}));
  EXPECT_EQ(RowOf(b.targets(2), 0, 10), (Row{12, -1, -1, -1, 16, 17, 18, -1, -1, 21}));
  EXPECT_EQ(RowOf(b.targets(3), 0, 10), (Row{-1, -1, -1, -1, 17, 18, -1, -1, -1, 22}));
  EXPECT_EQ(b.TargetCount(1), 7);
  EXPECT_EQ(b.TargetCount(3), 3);
  // A window that begins inside a document.
  ASSERT_TRUE((*source)->FillBatch(1, 1, 5, 1, &b).ok());
  EXPECT_EQ(b.segments, (Row{0, 0, 0, 0, 1}));
  EXPECT_EQ(b.positions, (Row{0, 1, 2, 3, 0}));

  auto mixed = OpenSequential({.files = {{path}}, .vocab = 1 << 20});
  ASSERT_TRUE((*mixed)->FillBatch(0, 1, 10, 3, &b).ok());
  EXPECT_EQ(b.segments, Row(10, 0));
  EXPECT_EQ(b.positions, (Row{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}));
  EXPECT_EQ(b.TargetCount(3), 10);
}

TEST(Sequential, CoversEveryTargetOnce) {
  for (const bool pack : {false, true}) {
    for (const int64_t count : {2, 17, 32, 33, 34, 40}) {
      const std::string one = MakeFile("one.tok", 100, count);
      const std::string two = MakeFile("two.tok", 500, 20);
      auto source =
          OpenSequential({.files = {{one}, {two}}, .vocab = 1 << 20, .pack_documents = pack});
      ASSERT_TRUE(source.ok());
      const int64_t T = 16, samples = (*source)->SampleCount(T);
      EXPECT_EQ(samples, (count - 1 + T - 1) / T + 2);
      HostBatch b;
      ASSERT_TRUE((*source)->FillBatch(0, samples + 3, T, 2, &b).ok());
      std::map<int32_t, int> seen;
      for (int32_t t : b.targets(1)) ++seen[t];
      EXPECT_EQ(b.TargetCount(1), count - 1 + 19);
      EXPECT_EQ(b.TargetCount(2), count - 2 + 18);
      for (const auto& [token, times] : seen) {
        if (token < 0) continue;
        EXPECT_EQ(times, 1) << token;
        EXPECT_TRUE((token > 100 && token < 100 + count) || (token > 500 && token < 520));
      }
      // What lies beyond the samples is wholly masked.
      for (int64_t i = samples; i < samples + 3; ++i) {
        EXPECT_EQ(RowOf(b.targets(1), i, T), Row(T, -1));
        EXPECT_EQ(TokensOf(b, i), Row(T + 2, 0));
      }
      for (size_t i = 1; i < b.segments.size(); ++i) {
        if (i % T == 0) continue;
        EXPECT_GE(b.segments[i], b.segments[i - 1]);
      }
    }
  }
}

TEST(Blend, RefusesWhatCannotBe) {
  const std::string good = MakeFile("good.tok", 0, 100, {}, 300);
  const auto message = [](const auto& result) { return std::string(result.status().message()); };
  EXPECT_NE(message(OpenBlend({.files = {}, .vocab = 300})).find("no token files"),
            std::string::npos);
  EXPECT_NE(message(OpenBlend({.files = {{good, 0.0}}, .vocab = 300})).find("weight > 0, found 0"),
            std::string::npos);
  EXPECT_NE(message(OpenBlend({.files = {{good}}, .vocab = 299}))
                .find("vocabulary of 300, larger than the model's, 299"),
            std::string::npos);
  EXPECT_NE(message(OpenBlend({.files = {{Folder() + "/no.tok"}}, .vocab = 9})).find("no.tok"),
            std::string::npos);
  auto source = OpenBlend({.files = {{good}}, .vocab = 300});
  HostBatch b;
  EXPECT_TRUE((*source)->FillBatch(0, 1, 99, 5, &b).ok());
  const std::string text((*source)->FillBatch(0, 1, 100, 1, &b).message());
  EXPECT_EQ(text, good + ": expected at least sequence_length + 1 = 101 tokens, found 100");
  // A file that does not say its vocabulary, with a token too large for the model.
  const std::string foreign = Folder() + "/foreign.bin";
  std::vector<int32_t> words(256 + 50, 0);
  words[0] = 20240801;
  words[1] = 7;
  words[2] = 50;
  words[256 + 40] = 1000;
  std::FILE* f = std::fopen(foreign.c_str(), "wb");
  std::fwrite(words.data(), 4, words.size(), f);
  std::fclose(f);
  auto large = OpenSequential({.files = {{foreign}}, .vocab = 1000});
  ASSERT_TRUE(large.ok()) << large.status();
  EXPECT_TRUE((*large)->FillBatch(0, 2, 16, 1, &b).ok());
  EXPECT_EQ(std::string((*large)->FillBatch(2, 1, 16, 1, &b).message()),
            foreign + ": token 40 is 1000, outside the vocabulary of 1000");
  EXPECT_DOUBLE_EQ((*large)->BytesPerToken(), 0.0);
}

TEST(TextOfFiles, WantsOneTokenizer) {
  const std::string plain = MakeFile("plain.tok", 0, 10);
  const std::string bytes = Folder() + "/bytes.tok";
  auto writer = TokenFileWriter::Create(bytes, *MakeByteTokenizer());
  ASSERT_TRUE((*writer)->Append({1, 2}, 2).ok());
  ASSERT_TRUE((*writer)->Finish().ok());
  auto none = TextOfFiles({{plain}});
  ASSERT_TRUE(none.ok());
  EXPECT_FALSE(none->has_value());
  auto one = TextOfFiles({{plain}, {bytes}, {bytes}});
  ASSERT_TRUE(one.ok());
  EXPECT_EQ((**one).tokenizer->kind(), TokenizerKind::kBytes);
  EXPECT_EQ((**one).rules, TextRules());
}

// Files that say nothing, as those of earlier versions, count for neither.
TEST(TextOfFiles, HasTheEndsOfAllFilesAndTheBeginOfEach) {
  const auto make = [](const std::string& name, std::optional<std::pair<int32_t, int32_t>> ends) {
    const std::string path = Folder() + "/" + name;
    auto writer = TokenFileWriter::Create(path, *MakeByteTokenizer());
    if (ends.has_value()) (*writer)->SetEnds(ends->first, ends->second);
    EXPECT_TRUE((*writer)->Append({1, 2}, 2).ok());
    EXPECT_TRUE((*writer)->Finish().ok());
    return path;
  };
  const std::string silent = make("silent.tok", std::nullopt), both = make("both.tok", {{1, 0}}),
                    end = make("end.tok", {{-1, 7}}), neither = make("neither.tok", {{-1, -1}});
  EXPECT_EQ((**TextOfFiles({{silent}, {both}})).rules,
            (TextRules{.begin = 1, .adds_begin = true, .ends = {0}}));
  EXPECT_EQ((**TextOfFiles({{both}, {end}, {neither}})).rules,
            (TextRules{.begin = 1, .adds_begin = false, .ends = {0, 7}}));
  EXPECT_EQ((**TextOfFiles({{neither}})).rules, TextRules());
}

}  // namespace
}  // namespace tl
