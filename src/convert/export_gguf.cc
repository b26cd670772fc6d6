// SPDX-License-Identifier: Apache-2.0
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/progress_bar.h"
#include "base/status.h"
#include "convert/export.h"
#include "convert/gguf.h"
#include "convert/gguf_tokenizer.h"
#include "convert/text_files.h"
#include "convert/trunk_names.h"
#include "model/rope_table.h"

namespace tl {
namespace {

constexpr char kFile[] = "model.gguf";

std::string GgufName(const std::string& name) {
  return TrunkName(name, Naming::kTrunkline, Naming::kGguf).value_or("");
}

// llama, qwen2 or qwen3 as llama.cpp has them.
absl::StatusOr<std::string> GgufArchitecture(const ModelConfig& m) {
  if (m.sliding_window > 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("format gguf: llama.cpp's llama architecture has no sliding window ([model] "
                     "sliding_window = ",
                     m.sliding_window, ")"));
  }
  if (m.qkv_bias && m.qk_norm) {
    return absl::InvalidArgumentError(
        "format gguf: llama.cpp has no architecture with qkv_bias (Qwen2's) and qk_norm (Qwen3's) "
        "together");
  }
  const bool scaled = m.rope_scaling.factor != 1.0;
  if ((m.qkv_bias || m.qk_norm) && scaled) {
    return absl::InvalidArgumentError(
        "format gguf: llama.cpp scales the rotary frequencies as in [model.rope_scaling] for plain "
        "trunks alone");
  }
  return std::string(m.qkv_bias ? "qwen2" : m.qk_norm ? "qwen3" : "llama");
}

void AddModel(const ExportJob& job, const std::string& arch, GgufMetadata& metadata) {
  const ModelConfig& m = job.config.model;
  const auto number = [&](const char* key, int64_t value) {
    metadata.Add(absl::StrCat(arch, ".", key), static_cast<uint32_t>(value));
  };
  metadata.Add("general.architecture", arch);
  metadata.Add("general.name", job.name);
  // What most tensors are: all fp32, fp16, bf16.
  const uint32_t types = job.dtype == DType::kF32 ? 0 : job.dtype == DType::kF16 ? 1 : 32;
  metadata.Add("general.file_type", types);
  number("vocab_size", m.vocab);
  number("context_length", ContextLength(job));
  number("embedding_length", m.hidden);
  number("block_count", m.layers);
  number("feed_forward_length", m.ffn);
  number("attention.head_count", m.heads);
  number("attention.head_count_kv", m.kv_heads_or_default());
  number("attention.key_length", m.head_dim_or_default());
  number("attention.value_length", m.head_dim_or_default());
  number("rope.dimension_count", m.head_dim_or_default());
  metadata.Add(absl::StrCat(arch, ".attention.layer_norm_rms_epsilon"),
               static_cast<float>(m.norm_eps));
  metadata.Add(absl::StrCat(arch, ".rope.freq_base"), static_cast<float>(m.rope_theta));
}

// llama.cpp divides the plain frequencies by these.
std::vector<float> RopeDivisors(const ModelConfig& model) {
  ModelConfig plain = model;
  plain.rope_scaling = {};
  const std::vector<double> scaled = RopeFrequencies(model), unscaled = RopeFrequencies(plain);
  std::vector<float> divisors;
  for (size_t j = 0; j < scaled.size(); ++j)
    divisors.push_back(static_cast<float>(unscaled[j] / scaled[j]));
  return divisors;
}

}  // namespace

absl::StatusOr<std::vector<TensorPlacement>> WriteGguf(const ExportJob& job,
                                                       const OutputFolder& out) {
  const ModelConfig& model = job.config.model;
  TL_ASSIGN_OR_RETURN(const std::string arch, GgufArchitecture(model));
  GgufMetadata metadata;
  AddModel(job, arch, metadata);
  TL_RETURN_IF_ERROR(AddGgufTokenizer(job.text, model.vocab, metadata));
  TL_ASSIGN_OR_RETURN(auto placements, PlaceTrunk(job, "gguf", GgufName));
  std::vector<GgufTensor> tensors;
  std::vector<float> divisors;
  if (model.rope_scaling.factor != 1.0) {
    divisors = RopeDivisors(model);
    tensors.push_back({"rope_freqs.weight", {static_cast<int64_t>(divisors.size())}, DType::kF32});
  }
  for (TensorPlacement& p : placements) {
    if (p.left_out()) continue;
    p.file = kFile;
    if (p.shape.size() == 1) p.dtype = DType::kF32;  // llama.cpp wants vectors so
    const bool rotated =
        absl::EndsWith(p.target, ".attn_q.weight") || absl::EndsWith(p.target, ".attn_k.weight");
    if (arch == "llama" && rotated) {
      p.rows = RowOrder::kInterleaved;
      p.head_dim = model.head_dim_or_default();
      p.note = "rows of each head interleaved, as llama.cpp rotates neighbours";
    }
    tensors.push_back({p.target, p.shape, p.dtype});
  }
  TL_ASSIGN_OR_RETURN(const auto writer,
                      GgufWriter::Create(out.At(kFile), metadata, std::move(tensors)));
  if (!divisors.empty()) {
    TL_RETURN_IF_ERROR(
        writer->Append(divisors.data(), static_cast<int64_t>(divisors.size() * sizeof(float))));
  }
  ProgressBar bar("write", BytesOf(placements), ProgressUnit::kBytes, kFile);
  for (const TensorPlacement& p : placements) {
    if (p.left_out()) continue;
    TL_RETURN_IF_ERROR(CopyTensor(*job.source, p, [&](const void* data, int64_t bytes) {
      bar.Add(bytes);
      return writer->Append(data, bytes);
    }));
  }
  TL_RETURN_IF_ERROR(writer->Finish());
  return placements;
}

}  // namespace tl
