// SPDX-License-Identifier: Apache-2.0
#include "data/file_identity.h"

#include <fcntl.h>

#include <algorithm>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/crc32c.h"
#include "base/files.h"
#include "base/status.h"
#include "data/picture_file.h"
#include "data/token_file.h"
#include "data/token_file_format.h"

namespace tl {
namespace {

// Where sample i of `samples` of a file of `size` units begins, where each has `sample` of them.
int64_t SampleStart(int i, int samples, int64_t size, int64_t sample) {
  return static_cast<int64_t>(static_cast<__int128>(size - sample) * i / (samples - 1));
}

absl::StatusOr<uint32_t> CrcOf(const File& file, int64_t begin, int64_t bytes,
                               const std::string& path, uint32_t crc) {
  std::vector<uint8_t> block(static_cast<size_t>(std::min<int64_t>(bytes, 1 << 20)));
  for (int64_t done = 0; done < bytes;) {
    const int64_t n = std::min<int64_t>(bytes - done, static_cast<int64_t>(block.size()));
    TL_RETURN_IF_ERROR(ReadAt(file, block.data(), static_cast<size_t>(n), begin + done, path));
    crc = ExtendCrc32c(crc, block.data(), static_cast<size_t>(n));
    done += n;
  }
  return crc;
}

}  // namespace

bool FileIdentity::SameContent(const FileIdentity& other) const {
  const bool comparable = !sampled || samples == other.samples;
  return bytes == other.bytes && header_crc == other.header_crc && sampled == other.sampled &&
         (!comparable || crc == other.crc);
}

std::string Describe(const FileIdentity& file) {
  std::string text;
  if (file.tokens > 0) absl::StrAppend(&text, file.tokens, " tokens, ");
  absl::StrAppendFormat(&text, "%d bytes, header %08x, CRC32C %08x", file.bytes, file.header_crc,
                        file.crc);
  if (file.sampled) absl::StrAppend(&text, " of ", file.samples, " samples");
  return text;
}

int SamplesOfEach(size_t files) {
  constexpr size_t kAll = 4096, kLeast = 4;
  return static_cast<int>(
      std::clamp<size_t>(kAll / std::max<size_t>(files, 1), kLeast, kIdentitySamples));
}

absl::StatusOr<FileIdentity> SampleFile(const std::string& key, const std::string& path,
                                        int64_t header_bytes, int samples) {
  TL_ASSIGN_OR_RETURN(const File file, OpenFile(path, O_RDONLY | O_NONBLOCK));
  FileIdentity identity{.key = key, .path = path, .sampled = true, .samples = samples};
  TL_ASSIGN_OR_RETURN(identity.bytes, FileSize(file, path));
  const int64_t size = identity.bytes;
  TL_ASSIGN_OR_RETURN(identity.header_crc, CrcOf(file, 0, std::min(header_bytes, size), path, 0));
  if (size <= samples * kSampleBytes) {
    TL_ASSIGN_OR_RETURN(identity.crc, CrcOf(file, 0, size, path, 0));
    return identity;
  }
  // A server is asked for all of them at once.
  for (int i = 0; i < samples; ++i)
    posix_fadvise(file.fd(), SampleStart(i, samples, size, kSampleBytes), kSampleBytes,
                  POSIX_FADV_WILLNEED);
  for (int i = 0; i < samples; ++i) {
    TL_ASSIGN_OR_RETURN(identity.crc, CrcOf(file, SampleStart(i, samples, size, kSampleBytes),
                                            kSampleBytes, path, identity.crc));
  }
  return identity;
}

absl::StatusOr<std::vector<FileIdentity>> IdentifyTokenFile(const std::string& key,
                                                            const TokenFile& file, int samples) {
  const std::string& path = file.path();
  std::vector<FileIdentity> identities;
  if (file.format() == TokenFormat::kOwn) {
    TL_ASSIGN_OR_RETURN(const File opened, OpenFile(path, O_RDONLY | O_NONBLOCK));
    internal::TokenFileHeader header;
    TL_RETURN_IF_ERROR(ReadAt(opened, &header, sizeof(header), 0, path));
    identities.push_back({.key = key,
                          .path = path,
                          .bytes = static_cast<int64_t>(header.file_size),
                          .header_crc = Crc32c(&header, sizeof(header)),
                          .crc = header.token_crc});
  } else {
    TL_ASSIGN_OR_RETURN(FileIdentity identity, SampleFile(key, path, kSampleBytes, samples));
    identities.push_back(std::move(identity));
  }
  identities[0].tokens = file.token_count();
  if (file.tokenizer_kind() != TokenizerKind::kNone)
    identities[0].tokenizer_hash = file.tokenizer_hash();
  if (file.format() == TokenFormat::kMegatron) {
    const std::string stem = absl::EndsWith(path, ".bin") ? path.substr(0, path.size() - 4) : path;
    TL_ASSIGN_OR_RETURN(FileIdentity index,
                        SampleFile(key + " index", stem + ".idx", kSampleBytes, samples));
    identities.push_back(std::move(index));
  }
  return identities;
}

absl::StatusOr<std::vector<FileIdentity>> IdentifyPictureFile(const std::string& key,
                                                              const PictureFile& file,
                                                              int samples) {
  std::vector<FileIdentity> identities;
  const auto add = [&](const std::string& name, const ArrayFile& array) -> absl::Status {
    TL_ASSIGN_OR_RETURN(FileIdentity identity,
                        SampleFile(name, array.path(), array.header().data_at, samples));
    identities.push_back(std::move(identity));
    return absl::OkStatus();
  };
  TL_RETURN_IF_ERROR(add(key, file.pictures()));
  if (file.labels() != nullptr) TL_RETURN_IF_ERROR(add(key + " labels", *file.labels()));
  return identities;
}

absl::Status CheckSampledTokens(const TokenFile& file, int64_t vocab) {
  constexpr int64_t kTokens = 1024;
  const int64_t all = file.token_count(), count = std::min(kTokens, all);
  std::vector<int32_t> tokens(static_cast<size_t>(count));
  for (int i = 0; i < kIdentitySamples; ++i)
    TL_RETURN_IF_ERROR(
        file.ReadTokens(SampleStart(i, kIdentitySamples, all, count), count, vocab, tokens.data()));
  return absl::OkStatus();
}

}  // namespace tl
