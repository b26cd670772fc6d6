// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/crc32c.h"
#include "base/status.h"
#include "base/utf8.h"
#include "checkpoint/manifest.h"
#include "checkpoint/manifest_data.h"

namespace tl {
namespace {

using Json = nlohmann::json;

constexpr size_t kTailBytes = sizeof(",\"crc32c\":\"01234567\"}\n") - 1;
constexpr int kMaxDepth = 16;
constexpr int64_t kMaxInt = std::numeric_limits<int64_t>::max();
// No dimension or file is larger; products of sizes are checked against it too.
constexpr int64_t kMaxSize = int64_t{1} << 56;
constexpr int kMaxRank = 4;
constexpr size_t kMaxName = 200, kMaxRole = 32;

// A value of the document and how it is called in messages.
class Node {
 public:
  Node(const Json& json, std::string where) : json_(&json), where_(std::move(where)) {}

  absl::Status Expected(const std::string& what) const {
    std::string found = json_->is_primitive()
                            ? json_->dump(-1, ' ', false, Json::error_handler_t::replace)
                        : json_->is_array() ? "a list"
                                            : "an object";
    if (found.size() > 60) found = Shortened(found, 60) + "...";
    return absl::InvalidArgumentError(
        absl::StrCat(where_, where_.empty() ? "" : ": ", "expected ", what, ", found ", found));
  }
  absl::StatusOr<Node> At(const char* key) const {
    if (!json_->is_object()) return Expected("an object");
    const auto it = json_->find(key);
    if (it == json_->end())
      return absl::InvalidArgumentError(
          absl::StrCat(where_, where_.empty() ? "" : ": ", "has no \"", key, "\""));
    return Node(*it, absl::StrCat(where_, where_.empty() ? "" : ".", key));
  }
  Node Item(size_t i) const { return Node((*json_)[i], absl::StrCat(where_, "[", i, "]")); }
  absl::StatusOr<size_t> Length() const {
    if (!json_->is_array()) return Expected("a list");
    return json_->size();
  }
  absl::StatusOr<int64_t> Integer(int64_t low, int64_t high) const {
    const auto expected = [&] {
      return Expected(absl::StrCat("a whole number from ", low, " to ", high));
    };
    if (!json_->is_number_integer()) return expected();
    if (json_->is_number_unsigned() && json_->get<uint64_t>() > static_cast<uint64_t>(kMaxInt))
      return expected();
    const auto value = json_->get<int64_t>();
    if (value < low || value > high) return expected();
    return value;
  }
  absl::StatusOr<int64_t> Integer(const char* key, int64_t low, int64_t high) const {
    TL_ASSIGN_OR_RETURN(const Node node, At(key));
    return node.Integer(low, high);
  }
  absl::StatusOr<std::string> Text(const char* key) const {
    TL_ASSIGN_OR_RETURN(const Node node, At(key));
    return node.Text();
  }
  absl::StatusOr<std::string> Text() const {
    if (!json_->is_string()) return Expected("a string");
    return json_->get<std::string>();
  }
  const Json& json() const { return *json_; }

 private:
  const Json* json_;
  std::string where_;
};

// Tells whether a name of a tensor or file is a path component that stays where it is.
bool IsPlainName(const std::string& name) {
  return !name.empty() && name.size() <= kMaxName && name[0] != '.' &&
         std::all_of(name.begin(), name.end(),
                     [](char c) { return c > ' ' && c < 0x7f && c != '/' && c != '\\'; });
}

absl::StatusOr<Shape> ParseDims(const Node& node, int64_t least) {
  TL_ASSIGN_OR_RETURN(const size_t rank, node.Length());
  if (rank < 1 || rank > kMaxRank)
    return node.Expected(absl::StrCat("1 to ", kMaxRank, " numbers"));
  Shape shape;
  int64_t product = 1;
  for (size_t i = 0; i < rank; ++i) {
    TL_ASSIGN_OR_RETURN(const int64_t dim, node.Item(i).Integer(least, kMaxSize));
    if (dim > 0 && product > kMaxSize / dim) return node.Expected("a product of at most 2^56");
    product *= std::max<int64_t>(dim, 1);
    shape.Append(dim);
  }
  return shape;
}

absl::StatusOr<std::vector<uint32_t>> ParseCrcs(const Node& node, int64_t count) {
  TL_ASSIGN_OR_RETURN(const std::string text, node.Text());
  if (text.size() % 8 != 0 || static_cast<int64_t>(text.size() / 8) != count)
    return node.Expected(absl::StrCat(count, " checksums of 8 hexadecimal digits"));
  std::vector<uint32_t> crcs;
  crcs.reserve(text.size() / 8);
  for (size_t i = 0; i < text.size(); i += 8) {
    uint32_t crc = 0;
    for (size_t k = i; k < i + 8; ++k) {
      const char c = text[k];
      if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'f'))
        return node.Expected("hexadecimal digits 0-9 a-f");
      crc = crc << 4 | static_cast<uint32_t>(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    crcs.push_back(crc);
  }
  return crcs;
}

// The role of a tensor in a manifest of this version.
absl::StatusOr<std::string> ParseRole(const Node& node, int64_t version) {
  TL_ASSIGN_OR_RETURN(const std::string role, node.Text());
  if (version == 1) {
    if (role == kWeightRole) return role;
    if (role.size() != 6 || role.rfind("state", 0) != 0 || role[5] < '0' || role[5] > '9')
      return node.Expected("\"weight\" or \"state0\" to \"state9\"");
    return role == "state0" ? "m" : role == "state1" ? "v" : role;
  }
  const auto plain = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  if (role.empty() || role.size() > kMaxRole || !std::all_of(role.begin(), role.end(), plain))
    return node.Expected(absl::StrCat("1 to ", kMaxRole, " of the characters a-z and 0-9"));
  return role;
}

absl::StatusOr<TensorRecord> ParseTensor(const Node& node, int64_t version) {
  TensorRecord tensor;
  TL_ASSIGN_OR_RETURN(const Node name, node.At("name"));
  TL_ASSIGN_OR_RETURN(tensor.name, name.Text());
  if (!IsPlainName(tensor.name)) return name.Expected("a name without slashes and spaces");
  TL_ASSIGN_OR_RETURN(const Node role, node.At("role"));
  TL_ASSIGN_OR_RETURN(tensor.role, ParseRole(role, version));
  TL_ASSIGN_OR_RETURN(const Node dtype, node.At("dtype"));
  TL_ASSIGN_OR_RETURN(const std::string type, dtype.Text());
  if (type == "float32") {
    tensor.dtype = DType::kF32;
  } else if (type == "bfloat16") {
    tensor.dtype = DType::kBF16;
  } else if (type == "float16") {
    tensor.dtype = DType::kF16;
  } else {
    return dtype.Expected("\"float32\", \"bfloat16\" or \"float16\"");
  }
  TL_ASSIGN_OR_RETURN(const Node shape, node.At("shape"));
  TL_ASSIGN_OR_RETURN(tensor.shape, ParseDims(shape, 1));
  TL_ASSIGN_OR_RETURN(const int64_t axis, node.Integer("split_axis", -1, tensor.shape.rank() - 1));
  tensor.split_axis = static_cast<int>(axis);
  return tensor;
}

absl::StatusOr<Piece> ParsePiece(const Node& node, const Manifest& manifest, int64_t file_bytes) {
  Piece piece;
  TL_ASSIGN_OR_RETURN(const int64_t index,
                      node.Integer("tensor", 0, static_cast<int64_t>(manifest.tensors.size()) - 1));
  piece.tensor = static_cast<int>(index);
  const TensorRecord& tensor = manifest.tensors[index];
  TL_ASSIGN_OR_RETURN(const Node begin, node.At("box_begin"));
  TL_ASSIGN_OR_RETURN(piece.box.begin, ParseDims(begin, 0));
  TL_ASSIGN_OR_RETURN(const Node size, node.At("box_size"));
  TL_ASSIGN_OR_RETURN(piece.box.size, ParseDims(size, 1));
  const int rank = tensor.shape.rank();
  if (piece.box.begin.rank() != rank) return begin.Expected(absl::StrCat(rank, " numbers"));
  if (piece.box.size.rank() != rank) return size.Expected(absl::StrCat(rank, " numbers"));
  for (int i = 0; i < rank; ++i) {
    if (piece.box.begin[i] > tensor.shape[i] - piece.box.size[i])
      return size.Expected("a box inside the tensor's shape " + ToString(tensor.shape));
  }
  TL_ASSIGN_OR_RETURN(piece.begin, node.Integer("begin", 0, piece.box.elements() - 1));
  TL_ASSIGN_OR_RETURN(piece.end, node.Integer("end", piece.begin + 1, piece.box.elements()));
  const auto width = static_cast<int64_t>(SizeOf(tensor.dtype));
  if (piece.elements() > file_bytes / width)
    return node.Expected(absl::StrCat("a piece that fits its file of ", file_bytes, " bytes"));
  const int64_t bytes = piece.elements() * width;
  TL_ASSIGN_OR_RETURN(piece.offset, node.Integer("offset", 0, file_bytes - bytes));
  TL_ASSIGN_OR_RETURN(const Node crcs, node.At("crc32c"));
  TL_ASSIGN_OR_RETURN(piece.crcs,
                      ParseCrcs(crcs, (bytes + manifest.block_bytes - 1) / manifest.block_bytes));
  return piece;
}

absl::StatusOr<FileRecord> ParseFile(const Node& node, const Manifest& manifest) {
  FileRecord file;
  TL_ASSIGN_OR_RETURN(const Node name, node.At("name"));
  TL_ASSIGN_OR_RETURN(file.name, name.Text());
  if (!IsPlainName(file.name) || file.name == kManifestName)
    return name.Expected("a file's name without folders");
  TL_ASSIGN_OR_RETURN(file.bytes, node.Integer("bytes", 0, kMaxSize));
  TL_ASSIGN_OR_RETURN(const Node rest, node.At("rest_crc32c"));
  TL_ASSIGN_OR_RETURN(const auto crc, ParseCrcs(rest, 1));
  file.rest_crc = crc[0];
  TL_ASSIGN_OR_RETURN(const Node pieces, node.At("pieces"));
  TL_ASSIGN_OR_RETURN(const size_t count, pieces.Length());
  int64_t used = 0;  // pieces stand in the order of their places
  std::set<int> tensors;
  for (size_t i = 0; i < count; ++i) {
    const Node item = pieces.Item(i);
    TL_ASSIGN_OR_RETURN(Piece piece, ParsePiece(item, manifest, file.bytes));
    if (piece.offset < used) return item.Expected("pieces in order, without overlap");
    if (!tensors.insert(piece.tensor).second)
      return item.Expected("at most one piece of a tensor in a file");
    used = piece.offset + manifest.piece_bytes(piece);
    file.pieces.push_back(std::move(piece));
  }
  return file;
}

absl::Status ParseRun(const Node& node, RunState* run) {
  TL_ASSIGN_OR_RETURN(run->step, node.Integer("step", 0, kMaxSize));
  TL_ASSIGN_OR_RETURN(run->updates, node.Integer("updates", 0, kMaxSize));
  TL_ASSIGN_OR_RETURN(run->skipped, node.Integer("skipped", 0, kMaxSize));
  TL_ASSIGN_OR_RETURN(run->samples, node.Integer("samples", 0, kMaxSize));
  TL_ASSIGN_OR_RETURN(run->seed, node.Integer("seed", 0, kMaxInt));
  TL_ASSIGN_OR_RETURN(run->scaler.clean_steps, node.Integer("clean_steps", 0, kMaxSize));
  TL_ASSIGN_OR_RETURN(run->scaler.hysteresis_left,
                      node.Integer("hysteresis_left", -kMaxSize, kMaxSize));
  TL_ASSIGN_OR_RETURN(const Node scale, node.At("loss_scale"));
  const double value = scale.json().is_number() ? scale.json().get<double>() : 0.0;
  if (!(value > 0.0) || !std::isfinite(value)) return scale.Expected("a positive number");
  run->scaler.scale = value;
  // Not in manifests of the first versions: there only a dynamic scale was other than 1 as a rule.
  run->scaler.dynamic = value != 1.0;
  if (const auto dynamic = node.json().find("dynamic_loss_scale"); dynamic != node.json().end()) {
    if (!dynamic->is_boolean()) return node.Expected("true or false as dynamic_loss_scale");
    run->scaler.dynamic = dynamic->get<bool>();
  }
  if (node.json().contains("unhealthy_since")) {
    TL_ASSIGN_OR_RETURN(run->unhealthy_since,
                        node.Integer("unhealthy_since", 1, std::max<int64_t>(1, run->step)));
  }
  if (node.json().contains("skips_in_a_row")) {
    TL_ASSIGN_OR_RETURN(run->skips_in_a_row,
                        node.Integer("skips_in_a_row", 1, std::max<int64_t>(1, run->step)));
  }
  TL_ASSIGN_OR_RETURN(const Node objective, node.At("objective"));
  return objective.json().is_object() ? absl::OkStatus() : objective.Expected("an object");
}

absl::Status ParseBody(const Node& root, Manifest* m) {
  TL_ASSIGN_OR_RETURN(const Node format, root.At("format"));
  if (format.json() != "trunkline checkpoint") return format.Expected("\"trunkline checkpoint\"");
  TL_ASSIGN_OR_RETURN(const int64_t version, root.Integer("version", 1, kManifestVersion));
  TL_ASSIGN_OR_RETURN(const Node block, root.At("block_bytes"));
  TL_ASSIGN_OR_RETURN(m->block_bytes, block.Integer(64, 64 << 20));
  if (m->block_bytes % 8 != 0) return block.Expected("a multiple of 8");
  TL_ASSIGN_OR_RETURN(const Node grid, root.At("grid"));
  TL_ASSIGN_OR_RETURN(const int64_t data, grid.Integer("data", 1, 1 << 24));
  TL_ASSIGN_OR_RETURN(const int64_t tensor, grid.Integer("tensor", 1, 1 << 24));
  m->data_size = static_cast<int>(data);
  m->tensor_size = static_cast<int>(tensor);
  TL_ASSIGN_OR_RETURN(const Node run, root.At("run"));
  TL_RETURN_IF_ERROR(ParseRun(run, &m->run));
  TL_ASSIGN_OR_RETURN(const Node provenance, root.At("provenance"));
  if (!provenance.json().is_object()) return provenance.Expected("an object");
  for (const auto& [key, value] : provenance.json().items()) {
    TL_ASSIGN_OR_RETURN(m->provenance[key], Node(value, "provenance").Text());
  }
  TL_ASSIGN_OR_RETURN(m->config, root.Text("config"));
  TL_RETURN_IF_ERROR(ParseData(root.json(), m));
  TL_ASSIGN_OR_RETURN(const Node tensors, root.At("tensors"));
  TL_ASSIGN_OR_RETURN(const size_t tensor_count, tensors.Length());
  std::set<std::string> names;
  for (size_t i = 0; i < tensor_count; ++i) {
    const Node item = tensors.Item(i);
    TL_ASSIGN_OR_RETURN(TensorRecord record, ParseTensor(item, version));
    if (!names.insert(DatasetName(record)).second) return item.Expected("a name of its own");
    m->tensors.push_back(std::move(record));
  }
  TL_ASSIGN_OR_RETURN(const Node files, root.At("files"));
  TL_ASSIGN_OR_RETURN(const size_t file_count, files.Length());
  names.clear();
  for (size_t i = 0; i < file_count; ++i) {
    const Node item = files.Item(i);
    TL_ASSIGN_OR_RETURN(FileRecord file, ParseFile(item, *m));
    if (!names.insert(file.name).second) return item.Expected("a name of its own");
    m->files.push_back(std::move(file));
  }
  return CheckCoverage(*m);
}

// Null where the text is no JSON or too deep.
Json ParseJson(const std::string& text) {
  bool too_deep = false;
  const Json::parser_callback_t limit = [&](int depth, Json::parse_event_t, Json&) {
    too_deep |= depth > kMaxDepth;
    return depth <= kMaxDepth;
  };
  Json json = Json::parse(text, limit, /*allow_exceptions=*/false);
  return json.is_discarded() || too_deep ? Json() : json;
}

absl::Status Prefixed(const std::string& path, const absl::Status& status) {
  if (status.ok()) return status;
  return {status.code(), absl::StrCat(path, ": ", status.message())};
}

}  // namespace

absl::StatusOr<Manifest> ParseManifest(const std::string& text, const std::string& path) {
  const size_t body = text.size() < kTailBytes ? 0 : text.size() - kTailBytes;
  if (body == 0 ||
      text.compare(body, std::string::npos,
                   absl::StrFormat(",\"crc32c\":\"%08x\"}\n", Crc32c(text.data(), body))) != 0)
    return absl::DataLossError(path + ": damaged: its own checksum is wrong or missing");
  const Json json = ParseJson(text);
  if (!json.is_object())
    return absl::InvalidArgumentError(path + ": expected a JSON object of little depth");
  Manifest manifest;
  TL_RETURN_IF_ERROR(Prefixed(path, ParseBody(Node(json, ""), &manifest)));
  return manifest;
}

absl::StatusOr<FileRecord> ParseFileRecord(const std::string& text, const Manifest& manifest,
                                           const std::string& path) {
  const Json json = ParseJson(text);
  absl::StatusOr<FileRecord> file = ParseFile(Node(json, ""), manifest);
  if (!file.ok()) return Prefixed(path, file.status());
  return file;
}

}  // namespace tl
