// SPDX-License-Identifier: Apache-2.0
// What tells a file from another of the same name, found without reading the whole of it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tl {

class PictureFile;
class TokenFile;

inline constexpr int kIdentitySamples = 64;
inline constexpr int64_t kSampleBytes = 4096;

struct FileIdentity {
  std::string key;   // what names the file: "data.train[0]", "run.init_from"
  std::string path;  // where it was found; no part of what it is
  int64_t bytes = 0;
  int64_t tokens = 0;           // 0: no token file
  uint64_t tokenizer_hash = 0;  // 0: not told
  uint32_t header_crc = 0;      // CRC32C of the header
  uint32_t crc = 0;             // CRC32C of the content that the file stores, else of samples
  bool sampled = false;
  int samples = kIdentitySamples;  // how many, where sampled

  // Tells whether the content is the same, wherever it lies and whatever names it. With other
  // numbers of samples sizes and headers are compared.
  bool SameContent(const FileIdentity& other) const;
};

// Says "6000 tokens, 12345 bytes, header 1a2b3c4d, CRC32C 5e6f7a8b of 64 samples".
std::string Describe(const FileIdentity& file);

// Tells how many samples to take of each of so many files: kIdentitySamples, fewer where they would
// be more than 4096 in all, but at least 4.
int SamplesOfEach(size_t files);

// Identifies a file that stores no checksum: by CRC32C of its first header_bytes, and of `samples`
// blocks, 2 or more, from its first byte to its last, or of all of it where they are no smaller.
absl::StatusOr<FileIdentity> SampleFile(const std::string& key, const std::string& path,
                                        int64_t header_bytes = kSampleBytes,
                                        int samples = kIdentitySamples);

// Identifies a token file: by the checksums in its header, or by samples; of Megatron's format the
// index too, as "KEY index".
absl::StatusOr<std::vector<FileIdentity>> IdentifyTokenFile(const std::string& key,
                                                            const TokenFile& file,
                                                            int samples = kIdentitySamples);

// Identifies pictures as `key`, and their labels as "KEY labels", by samples.
absl::StatusOr<std::vector<FileIdentity>> IdentifyPictureFile(const std::string& key,
                                                              const PictureFile& file,
                                                              int samples = kIdentitySamples);

// Refuses, as TokenFile::ReadTokens does, a file of which one of kIdentitySamples samples has a
// token outside the vocabulary.
absl::Status CheckSampledTokens(const TokenFile& file, int64_t vocab);

}  // namespace tl
