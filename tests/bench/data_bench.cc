// SPDX-License-Identifier: Apache-2.0
// What a sample costs that is read from a token file in memory, as most are: microseconds.
#include <chrono>
#include <cstdio>
#include <filesystem>

#include "base/check.h"
#include "data/blend.h"
#include "data/token_file.h"

namespace tl {
namespace {

constexpr int64_t kVocab = 50000, kDocuments = 100000, kDocumentTokens = 400;

void WriteTokens(const std::string& path) {
  auto writer = TokenFileWriter::Create(path, kVocab);
  TL_CHECK(writer.ok()) << writer.status();
  std::vector<int32_t> tokens(kDocumentTokens);
  for (int64_t document = 0; document < kDocuments; ++document) {
    for (int64_t i = 0; i < kDocumentTokens; ++i)
      tokens[i] = static_cast<int32_t>((document * 7919 + i * 31) % kVocab);
    (*writer)->StartDocument();
    TL_CHECK((*writer)->Append(tokens, kDocumentTokens).ok());
  }
  TL_CHECK((*writer)->Finish().ok());
}

void Measure(const std::string& path, bool pack_documents, int64_t sequence_length) {
  const auto source = OpenBlend(
      {.files = {{path, 1.0}}, .seed = 1, .vocab = kVocab, .pack_documents = pack_documents});
  TL_CHECK(source.ok()) << source.status();
  constexpr int64_t kSamples = 5000;
  HostBatch batch;
  double us = 0.0;
  for (int turn = 0; turn < 2; ++turn) {  // the first one is for the caches
    const auto start = std::chrono::steady_clock::now();
    for (int64_t i = 0; i < kSamples; ++i)
      TL_CHECK((*source)->FillBatch(i, 1, sequence_length, 1, &batch).ok());
    us = std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start)
             .count() /
         kSamples;
  }
  std::printf("%5ld tokens, documents %s: %6.2f us\n", static_cast<long>(sequence_length),
              pack_documents ? "packed" : "ignored", us);
}

}  // namespace
}  // namespace tl

int main() {
  const std::string path = std::filesystem::temp_directory_path() / "data_bench.tok";
  tl::WriteTokens(path);
  for (const bool pack_documents : {false, true}) {
    for (const int64_t length : {256, 2048, 8192}) tl::Measure(path, pack_documents, length);
  }
  std::filesystem::remove(path);
}
