// SPDX-License-Identifier: Apache-2.0
#include "train/tensorboard.h"

#include <unistd.h>

#include <bit>
#include <chrono>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/crc32c.h"
#include "base/status.h"

namespace tl {
namespace {

// Field numbers of tensorflow/core/util/event.proto and framework/summary.proto.
constexpr int kEventWallTime = 1;
constexpr int kEventStep = 2;
constexpr int kEventFileVersion = 3;
constexpr int kEventSummary = 5;
constexpr int kEventSessionLog = 7;
constexpr int kSessionLogStatus = 1;
constexpr uint64_t kSessionStart = 1;
constexpr int kSummaryValue = 1;
constexpr int kValueTag = 1;
constexpr int kValueSimpleValue = 2;

enum WireType : uint8_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

template <typename T>
void AppendLittleEndian(std::string* out, T value) {
  for (size_t i = 0; i < sizeof(T); ++i) *out += static_cast<char>(value >> (8 * i));
}

void AppendVarint(std::string* out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) *out += static_cast<char>(value | 0x80);
  *out += static_cast<char>(value);
}

void AppendTag(std::string* out, int field, WireType type) {
  AppendVarint(out, static_cast<uint64_t>(field) << 3 | type);
}

void AppendVarintField(std::string* out, int field, uint64_t value) {
  AppendTag(out, field, kVarint);
  AppendVarint(out, value);
}

void AppendBytesField(std::string* out, int field, const std::string& bytes) {
  AppendTag(out, field, kBytes);
  AppendVarint(out, bytes.size());
  *out += bytes;
}

std::string EventHead(double wall_time, int64_t step) {
  std::string event;
  AppendTag(&event, kEventWallTime, kFixed64);
  AppendLittleEndian(&event, std::bit_cast<uint64_t>(wall_time));
  AppendVarintField(&event, kEventStep, static_cast<uint64_t>(step));
  return event;
}

// CRCs of data that holds CRCs are weak, hence TFRecord's rotation and constant.
uint32_t MaskedCrc(const std::string& bytes) {
  return std::rotr(Crc32c(bytes.data(), bytes.size()), 15) + 0xa282ead8u;
}

double Now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace

std::string FrameRecord(const std::string& data) {
  std::string record;
  AppendLittleEndian(&record, uint64_t{data.size()});
  AppendLittleEndian(&record, MaskedCrc(record));
  record += data;
  AppendLittleEndian(&record, MaskedCrc(data));
  return record;
}

std::string EncodeScalars(double wall_time, int64_t step, absl::Span<const Scalar> scalars) {
  std::string summary;
  for (const auto& [tag, number] : scalars) {
    std::string value;
    AppendBytesField(&value, kValueTag, tag);
    AppendTag(&value, kValueSimpleValue, kFixed32);
    AppendLittleEndian(&value, std::bit_cast<uint32_t>(number));
    AppendBytesField(&summary, kSummaryValue, value);
  }
  std::string event = EventHead(wall_time, step);
  AppendBytesField(&event, kEventSummary, summary);
  return event;
}

absl::StatusOr<TensorBoardFile> TensorBoardFile::Open(const std::string& dir, int64_t resume_step) {
  char host[256] = "localhost";
  gethostname(host, sizeof(host) - 1);
  const double now = Now();
  // TensorBoard reads the files of a folder in the order of their names; the fraction keeps two
  // starts in one second apart.
  const std::string path =
      absl::StrFormat("%s/events.out.tfevents.%017.6f.%s.%d", dir, now, host, getpid());
  TL_ASSIGN_OR_RETURN(AppendFile file, AppendFile::Open(path));
  std::string version = EventHead(now, 0);
  AppendBytesField(&version, kEventFileVersion, "brain.Event:2");
  std::string session;
  AppendVarintField(&session, kSessionLogStatus, kSessionStart);
  std::string start = EventHead(now, resume_step + 1);
  AppendBytesField(&start, kEventSessionLog, session);
  TL_RETURN_IF_ERROR(file.Append(FrameRecord(version) + FrameRecord(start)));
  return TensorBoardFile(std::move(file));
}

absl::Status TensorBoardFile::Write(int64_t step, absl::Span<const Scalar> scalars) {
  return file_.Append(FrameRecord(EncodeScalars(Now(), step, scalars)));
}

}  // namespace tl
