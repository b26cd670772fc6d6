// SPDX-License-Identifier: Apache-2.0
#include "data/sentencepiece_proto.h"

#include <bit>
#include <cstring>

#include "absl/strings/string_view.h"
#include "base/status.h"

namespace tl {
namespace {

struct Field {
  uint32_t number = 0;
  uint64_t value = 0;       // varint and fixed fields
  absl::string_view bytes;  // strings and messages
};

// Reads fields off the front of a message. False at its end, and at the first byte that is wrong.
class Fields {
 public:
  explicit Fields(absl::string_view message) : rest_(message) {}
  bool ok() const { return ok_; }

  bool Next(Field* field) {
    uint64_t tag = 0, size = 0;
    if (rest_.empty() || !Varint(&tag)) return false;
    *field = Field();
    field->number = static_cast<uint32_t>(tag >> 3);
    switch (tag & 7) {
      case 0:
        return Varint(&field->value);
      case 1:
        return Fixed(8, &field->value);
      case 2:
        if (!Varint(&size) || size > rest_.size()) return Fail();
        field->bytes = rest_.substr(0, size);
        rest_.remove_prefix(size);
        return true;
      case 5:
        return Fixed(4, &field->value);
      default:
        return Fail();
    }
  }

 private:
  bool Fail() {
    ok_ = false;
    return false;
  }
  bool Varint(uint64_t* value) {
    *value = 0;
    for (int shift = 0; shift < 64 && !rest_.empty(); shift += 7) {
      const auto byte = static_cast<unsigned char>(rest_[0]);
      rest_.remove_prefix(1);
      *value |= uint64_t{byte & 0x7fu} << shift;
      if (byte < 0x80) return true;
    }
    return Fail();
  }
  bool Fixed(size_t size, uint64_t* value) {
    if (rest_.size() < size) return Fail();
    std::memcpy(value, rest_.data(), size);  // little-endian, as this machine
    rest_.remove_prefix(size);
    return true;
  }

  absl::string_view rest_;
  bool ok_ = true;
};

bool ReadPiece(absl::string_view message, SentencePieceProto* proto) {
  SentencePieceProto::Piece piece;
  Fields fields(message);
  for (Field field; fields.Next(&field);) {
    if (field.number == 1) piece.text = std::string(field.bytes);
    if (field.number == 2) piece.score = std::bit_cast<float>(static_cast<uint32_t>(field.value));
    if (field.number == 3 && field.value >= 1 && field.value <= 6)
      piece.type = static_cast<SentencePieceProto::Type>(field.value);
  }
  proto->pieces.push_back(std::move(piece));
  return fields.ok();
}

bool ReadTrainerSpec(absl::string_view message, SentencePieceProto* proto) {
  Fields fields(message);
  for (Field field; fields.Next(&field);) {
    if (field.number == 3) proto->bpe = field.value == 2;
    if (field.number == 35) proto->byte_fallback = field.value != 0;
  }
  return fields.ok();
}

bool ReadNormalizerSpec(absl::string_view message, SentencePieceProto* proto) {
  Fields fields(message);
  for (Field field; fields.Next(&field);) {
    if (field.number == 2) proto->identity = field.bytes.empty();
    if (field.number == 3) proto->add_dummy_prefix = field.value != 0;
    if (field.number == 4) proto->remove_extra_whitespaces = field.value != 0;
    if (field.number == 5) proto->escape_whitespaces = field.value != 0;
  }
  return fields.ok();
}

}  // namespace

absl::StatusOr<SentencePieceProto> ParseSentencePieceProto(const std::string& bytes) {
  SentencePieceProto proto;
  Fields fields(bytes);
  bool ok = true;
  for (Field field; ok && fields.Next(&field);) {
    if (field.number == 1) ok = ReadPiece(field.bytes, &proto);
    if (field.number == 2) ok = ReadTrainerSpec(field.bytes, &proto);
    if (field.number == 3) ok = ReadNormalizerSpec(field.bytes, &proto);
  }
  if (!ok || !fields.ok() || proto.pieces.empty())
    return absl::InvalidArgumentError("not a SentencePiece model: its protocol buffer is damaged");
  return proto;
}

}  // namespace tl
