// SPDX-License-Identifier: Apache-2.0
#include "data/array_file.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "base/check.h"
#include "base/progress_bar.h"
#include "base/status.h"
#include "base/utf8.h"
#include "data/npy.h"
#include "data/token_file_format.h"

namespace tl {
namespace {

using internal::BadFile;
using internal::LoadAs;

static_assert(std::endian::native == std::endian::little, "arrays are read as they are stored");

struct TypeRow {
  ArrayType type;
  const char* name;
  int64_t size;
};
constexpr TypeRow kTypes[] = {{ArrayType::kU8, "|u1", 1},
                              {ArrayType::kI32, "<i4", 4},
                              {ArrayType::kI64, "<i8", 8},
                              {ArrayType::kF32, "<f4", 4}};
constexpr char kTypeNames[] = "'|u1', '<i4', '<i8' or '<f4'";
constexpr size_t kMostAxes = 4;

const TypeRow& RowOf(ArrayType type) { return kTypes[static_cast<size_t>(type)]; }

std::string Quoted(absl::string_view text) {
  return absl::StrCat("'", Shortened(OneLine(text), 40), "'");
}

absl::Status WrongField(const std::string& path, absl::string_view field,
                        absl::string_view expected, absl::string_view found) {
  return BadFile(path, absl::StrCat(field, ": expected ", expected, ", found ", found));
}

absl::Status TooShort(const std::string& path, uint64_t expected, size_t found) {
  return BadFile(path, absl::StrCat("truncated: expected a header of ", expected, " bytes, found ",
                                    found, " bytes"));
}

// The axes are there, and the whole array can be counted in bytes.
absl::Status CheckShape(const ArrayHeader& header, const std::string& path) {
  const std::vector<int64_t>& shape = header.shape;
  const auto wrong = [&](absl::string_view expected) {
    return WrongField(path, "shape", expected, NumpyShape(shape));
  };
  if (shape.empty() || shape.size() > kMostAxes) return wrong("1 to 4 axes");
  int64_t room = std::numeric_limits<int64_t>::max() / 2 / SizeOf(header.type);
  for (const int64_t length : shape) {
    if (length < 1) return wrong("axes of length 1 or more");
    room /= length;
    if (room == 0) return wrong("fewer than 2^62 bytes");
  }
  return absl::OkStatus();
}

// A dict of Python's with the three keys of .npy headers, and nothing else.
class NpyDict {
 public:
  NpyDict(absl::string_view text, const std::string& path) : rest_(text), path_(path) {}

  absl::Status Parse(ArrayHeader* header) {
    if (!Take("{")) return Wrong("header", "a dict of Python");
    while (!Take("}")) {
      std::string key;
      if (!TakeString(&key)) return Wrong("header", "a key in quotes");
      TL_RETURN_IF_ERROR(ParseValue(key, header));
      if (!Take(",") && !Next("}")) return Wrong("header", "a comma or the end of the dict");
    }
    if (!absl::StripAsciiWhitespace(rest_).empty())
      return Wrong("header", "nothing after the dict");
    for (size_t i = 0; i < kKeys.size(); ++i) {
      if (!seen_[i])
        return BadFile(path_, absl::StrCat(kKeys[i], ": missing in the header of the .npy file"));
    }
    return absl::OkStatus();
  }

 private:
  static constexpr std::array<absl::string_view, 3> kKeys = {"descr", "fortran_order", "shape"};

  absl::Status ParseValue(const std::string& key, ArrayHeader* header) {
    const size_t i = std::find(kKeys.begin(), kKeys.end(), key) - kKeys.begin();
    if (i == kKeys.size())
      return WrongField(path_, "header", "the keys descr, fortran_order and shape", Quoted(key));
    if (std::exchange(seen_[i], true)) return WrongField(path_, key, "one value", "two");
    if (!Take(":")) return Wrong(key, "a colon");
    switch (i) {
      case 0:
        return ParseType(header);
      case 1:
        if (Take("False")) return absl::OkStatus();
        return Wrong(key, "False, as numpy.ascontiguousarray makes it");
      default:
        return ParseShape(header);
    }
  }

  absl::Status ParseType(ArrayHeader* header) {
    std::string name;
    if (!TakeString(&name)) return Wrong("descr", kTypeNames);
    for (const TypeRow& row : kTypes) {
      if (name != row.name) continue;
      header->type = row.type;
      return absl::OkStatus();
    }
    return WrongField(path_, "descr", kTypeNames, Quoted(name));
  }

  absl::Status ParseShape(ArrayHeader* header) {
    constexpr char kExpected[] = "a tuple of lengths such as (60000, 28, 28)";
    if (!Take("(")) return Wrong("shape", kExpected);
    bool separated = true;
    while (!Take(")")) {
      SkipSpace();
      size_t digits = 0;
      while (digits < rest_.size() && absl::ascii_isdigit(rest_[digits])) ++digits;
      int64_t length = 0;
      if (!separated || digits == 0 || !absl::SimpleAtoi(rest_.substr(0, digits), &length))
        return Wrong("shape", kExpected);
      rest_.remove_prefix(digits);
      absl::ConsumePrefix(&rest_, "L");  // Python 2 wrote it
      header->shape.push_back(length);
      if (header->shape.size() > kMostAxes) return Wrong("shape", "1 to 4 axes");
      separated = Take(",");
    }
    // (3) is a number.
    return separated || header->shape.size() > 1 ? absl::OkStatus() : Wrong("shape", kExpected);
  }

  void SkipSpace() { rest_ = absl::StripLeadingAsciiWhitespace(rest_); }
  bool Next(absl::string_view token) {
    SkipSpace();
    return absl::StartsWith(rest_, token);
  }
  bool Take(absl::string_view token) { return Next(token) && absl::ConsumePrefix(&rest_, token); }

  bool TakeString(std::string* text) {
    if (!Next("'") && !Next("\"")) return false;
    const size_t end = rest_.find(rest_[0], 1);
    if (end == absl::string_view::npos) return false;
    const absl::string_view inner = rest_.substr(1, end - 1);
    if (inner.find_first_of("\\\n") != absl::string_view::npos) return false;
    *text = std::string(inner);
    rest_.remove_prefix(end + 1);
    return true;
  }

  absl::Status Wrong(absl::string_view field, absl::string_view expected) {
    constexpr size_t kShown = 24;
    SkipSpace();
    return WrongField(path_, field, expected,
                      rest_.empty() ? "the end of the header"
                                    : absl::StrCat("\"", OneLine(rest_.substr(0, kShown)),
                                                   rest_.size() > kShown ? "...\"" : "\""));
  }

  absl::string_view rest_;
  const std::string& path_;
  std::array<bool, kKeys.size()> seen_ = {};
};

absl::StatusOr<ArrayHeader> ParseNpy(absl::string_view begin, const std::string& path) {
  constexpr size_t kVersion = kNpyMagic.size();
  const auto* bytes = reinterpret_cast<const uint8_t*>(begin.data());
  if (begin.size() < kVersion + 4) return TooShort(path, kVersion + 4, begin.size());
  const int major = bytes[kVersion], minor = bytes[kVersion + 1];
  if (major < 1 || major > 3 || minor != 0)
    return WrongField(path, "version of the .npy file", "1.0, 2.0 or 3.0",
                      absl::StrCat(major, ".", minor));
  const size_t text = kVersion + (major == 1 ? 4 : 6);
  if (begin.size() < text) return TooShort(path, text, begin.size());
  const uint64_t length =
      major == 1 ? LoadAs<uint16_t>(bytes + kVersion + 2) : LoadAs<uint32_t>(bytes + kVersion + 2);
  if (text + length > static_cast<uint64_t>(kMostArrayHeader))
    return WrongField(path, "length of the header", absl::StrCat("at most ", kMostArrayHeader),
                      absl::StrCat(text + length));
  if (text + length > begin.size()) return TooShort(path, text + length, begin.size());
  ArrayHeader header;
  header.data_at = static_cast<int64_t>(text + length);
  TL_RETURN_IF_ERROR(NpyDict(begin.substr(text, length), path).Parse(&header));
  TL_RETURN_IF_ERROR(CheckShape(header, path));
  return header;
}

absl::StatusOr<ArrayHeader> ParseIdx(absl::string_view begin, const std::string& path) {
  constexpr size_t kLengths = 4;
  constexpr int kUnsignedByte = 8;
  const auto* bytes = reinterpret_cast<const uint8_t*>(begin.data());
  if (begin.size() < kLengths) return TooShort(path, kLengths, begin.size());
  if (bytes[2] != kUnsignedByte)
    return WrongField(path, "type of the IDX file", "8 (unsigned bytes)",
                      absl::StrCat(bytes[2], "; numpy.save writes other types"));
  const size_t axes = bytes[3], text = kLengths + 4 * axes;
  if (axes < 1 || axes > kMostAxes)
    return WrongField(path, "axes of the IDX file", "1 to 4", absl::StrCat(axes));
  if (begin.size() < text) return TooShort(path, text, begin.size());
  ArrayHeader header;
  header.data_at = static_cast<int64_t>(text);
  for (size_t at = kLengths; at < text; at += 4) {
    uint32_t length = 0;
    for (size_t i = 0; i < 4; ++i) length = length << 8 | bytes[at + i];
    header.shape.push_back(length);
  }
  TL_RETURN_IF_ERROR(CheckShape(header, path));
  return header;
}

}  // namespace

const char* Name(ArrayType type) { return RowOf(type).name; }
int64_t SizeOf(ArrayType type) { return RowOf(type).size; }

std::string NumpyShape(const std::vector<int64_t>& shape) {
  return absl::StrCat("(", absl::StrJoin(shape, ", "), shape.size() == 1 ? ",)" : ")");
}

int64_t ArrayHeader::sample_values() const {
  int64_t values = 1;
  for (size_t axis = 1; axis < shape.size(); ++axis) values *= shape[axis];
  return values;
}

int64_t ArrayHeader::file_bytes() const {
  return data_at + samples() * sample_values() * SizeOf(type);
}

absl::StatusOr<ArrayHeader> ParseArrayHeader(absl::string_view begin, const std::string& path) {
  if (absl::StartsWith(begin, kNpyMagic)) return ParseNpy(begin, path);
  if (absl::StartsWith(begin, absl::string_view("\0\0", 2))) return ParseIdx(begin, path);
  if (absl::StartsWith(begin, "\x1f\x8b"))
    return BadFile(path,
                   "compressed: expected a .npy or IDX file, found gzip's; gunzip unpacks it");
  return BadFile(path, absl::StrCat("not an array: expected the first bytes of a .npy file, "
                                    "\"\\x93NUMPY\", or of an IDX file, \"\\x00\\x00\", found \"",
                                    OneLine(begin.substr(0, kNpyMagic.size())), "\""));
}

bool BeginsAsArray(absl::string_view first_bytes) {
  return IsNpyFile(first_bytes) || absl::StartsWith(first_bytes, absl::string_view("\0\0\x08", 3));
}

absl::StatusOr<std::unique_ptr<ArrayFile>> ArrayFile::Open(const std::string& path) {
  std::unique_ptr<ArrayFile> file(new ArrayFile);
  TL_ASSIGN_OR_RETURN(file->data_, SteadyFile::Open(path, "a .npy or IDX file"));
  const int64_t size = file->data_->size();
  std::string begin(static_cast<size_t>(std::min(size, kMostArrayHeader)), '\0');
  TL_RETURN_IF_ERROR(file->data_->Read(0, begin.data(), begin.size()));
  TL_ASSIGN_OR_RETURN(file->header_, ParseArrayHeader(begin, path));
  const ArrayHeader& header = file->header_;
  if (size == header.file_bytes()) return file;
  return BadFile(path,
                 absl::StrCat(size < header.file_bytes() ? "truncated" : "too long", ": expected ",
                              header.file_bytes(), " bytes for shape ", NumpyShape(header.shape),
                              " of '", Name(header.type), "', found ", size));
}

absl::Status ArrayFile::Read(int64_t first, int64_t count, void* out) const {
  TL_CHECK(first >= 0 && count >= 0 && first <= header_.samples() - count)
      << path() << ": samples " << first << " + " << count << " of " << header_.samples();
  const int64_t values = header_.sample_values(), bytes = values * SizeOf(header_.type);
  TL_RETURN_IF_ERROR(
      data_->Read(header_.data_at + first * bytes, out, static_cast<size_t>(count * bytes)));
  if (header_.type != ArrayType::kF32) return absl::OkStatus();
  const auto* begin = static_cast<const float*>(out);
  const float* end = begin + count * values;
  const float* bad = std::find_if(begin, end, [](float x) { return !std::isfinite(x); });
  if (bad == end) return absl::OkStatus();
  return BadFile(path(), absl::StrCat("value ", (bad - begin) % values, " of sample ",
                                      first + (bad - begin) / values,
                                      ": expected a finite number, found ", *bad));
}

absl::Status ArrayFile::Verify() const {
  constexpr int64_t kBlock = 1 << 20;
  const int64_t bytes = header_.sample_values() * SizeOf(header_.type);
  const int64_t samples = std::clamp<int64_t>(kBlock / bytes, 1, header_.samples());
  std::vector<float> block(static_cast<size_t>((samples * bytes + 3) / 4));
  ProgressBar bar("verify", header_.samples() * bytes, ProgressUnit::kBytes, path());
  for (int64_t first = 0; first < header_.samples(); first += samples) {
    const int64_t n = std::min(samples, header_.samples() - first);
    TL_RETURN_IF_ERROR(Read(first, n, block.data()));
    bar.Add(n * bytes);
  }
  return absl::OkStatus();
}

}  // namespace tl
