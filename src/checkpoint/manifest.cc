// SPDX-License-Identifier: Apache-2.0
#include "checkpoint/manifest.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/crc32c.h"
#include "checkpoint/manifest_data.h"

namespace tl {
namespace {

using OrderedJson = nlohmann::ordered_json;

constexpr char kUnhealthySince[] = "unhealthy_since";

OrderedJson PieceJson(const Piece& piece) {
  std::string crcs;
  for (const uint32_t crc : piece.crcs) absl::StrAppendFormat(&crcs, "%08x", crc);
  return {{"tensor", piece.tensor},
          {"box_begin", Dims(piece.box.begin)},
          {"box_size", Dims(piece.box.size)},
          {"begin", piece.begin},
          {"end", piece.end},
          {"offset", piece.offset},
          {"crc32c", crcs}};
}

OrderedJson FileJson(const FileRecord& file) {
  OrderedJson pieces = OrderedJson::array();
  for (const Piece& piece : file.pieces) pieces.push_back(PieceJson(piece));
  return {{"name", file.name},
          {"bytes", file.bytes},
          {"rest_crc32c", absl::StrFormat("%08x", file.rest_crc)},
          {"pieces", std::move(pieces)}};
}

const char* FormatName(DType dtype) {
  switch (dtype) {
    case DType::kBF16:
      return "bfloat16";
    case DType::kF16:
      return "float16";
    default:
      return "float32";
  }
}

std::string Dump(const OrderedJson& json) {
  return json.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
}

}  // namespace

std::vector<int64_t> Dims(const Shape& shape) {
  std::vector<int64_t> dims;
  for (int i = 0; i < shape.rank(); ++i) dims.push_back(shape[i]);
  return dims;
}

Box Box::Whole(const Shape& shape) {
  Box box{.begin = shape, .size = shape};
  for (int i = 0; i < shape.rank(); ++i) box.begin[i] = 0;
  return box;
}

std::string DatasetName(const TensorRecord& tensor) {
  return absl::StrCat("/", tensor.role, "/", tensor.name);
}

int Manifest::Find(const std::string& name, const std::string& role) const {
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (tensors[i].role == role && tensors[i].name == name) return static_cast<int>(i);
  }
  return -1;
}

bool Manifest::HasRole(const std::string& role) const {
  return std::any_of(tensors.begin(), tensors.end(),
                     [&](const TensorRecord& tensor) { return tensor.role == role; });
}

int64_t Manifest::bytes() const {
  int64_t sum = 0;
  for (const FileRecord& file : files) sum += file.bytes;
  return sum;
}

int64_t Manifest::piece_bytes(const Piece& piece) const {
  return piece.elements() * static_cast<int64_t>(SizeOf(tensors[piece.tensor].dtype));
}

std::string WriteFileRecord(const FileRecord& file) { return Dump(FileJson(file)); }

std::string WriteManifest(const Manifest& m) {
  OrderedJson tensors = OrderedJson::array(), files = OrderedJson::array(),
              provenance = OrderedJson::object();
  for (const TensorRecord& t : m.tensors) {
    tensors.push_back({{"name", t.name},
                       {"role", t.role},
                       {"dtype", FormatName(t.dtype)},
                       {"shape", Dims(t.shape)},
                       {"split_axis", t.split_axis}});
  }
  for (const FileRecord& file : m.files) files.push_back(FileJson(file));
  for (const auto& [key, value] : m.provenance) provenance[key] = value;
  const RunState& r = m.run;
  OrderedJson run = {{"step", r.step},
                     {"updates", r.updates},
                     {"skipped", r.skipped},
                     {"samples", r.samples},
                     {"seed", r.seed},
                     {"loss_scale", r.scaler.scale},
                     {"dynamic_loss_scale", r.scaler.dynamic},
                     {"clean_steps", r.scaler.clean_steps},
                     {"hysteresis_left", r.scaler.hysteresis_left}};
  // Before anything whose length or text is not ours: UnhealthySinceOf looks for it.
  if (r.unhealthy_since > 0) run[kUnhealthySince] = r.unhealthy_since;
  if (r.skips_in_a_row > 0) run["skips_in_a_row"] = r.skips_in_a_row;
  run["objective"] = OrderedJson::object();  // no objective has a state
  OrderedJson json = {{"format", "trunkline checkpoint"},
                      {"version", kManifestVersion},
                      {"block_bytes", m.block_bytes},
                      {"grid", {{"data", m.data_size}, {"tensor", m.tensor_size}}},
                      {"run", std::move(run)},
                      {"provenance", std::move(provenance)},
                      {"config", m.config}};
  WriteData(m, &json);
  json["tensors"] = std::move(tensors);
  json["files"] = std::move(files);
  // The hash of all that stands before it.
  std::string text = Dump(json);
  text.pop_back();
  absl::StrAppendFormat(&text, ",\"crc32c\":\"%08x\"}\n", Crc32c(text.data(), text.size()));
  return text;
}

int64_t UnhealthySinceOf(const std::string& head) {
  const size_t end = head.find("\"objective\":");
  const std::string key = absl::StrCat("\"", kUnhealthySince, "\":");
  const size_t at = head.find(key);
  if (at == std::string::npos || at > end) return 0;
  const size_t begin = at + key.size();
  int64_t since = 0;
  const bool number =
      absl::SimpleAtoi(head.substr(begin, head.find(',', begin) - begin), &since) && since > 0;
  return number ? since : 0;
}

}  // namespace tl
