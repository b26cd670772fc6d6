// SPDX-License-Identifier: Apache-2.0
#include "convert/export.h"

#include <cstdio>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "base/temporary.h"
#include "checkpoint/run_text.h"
#include "cli/command.h"
#include "cli/which_weights.h"
#include "convert/report.h"
#include "engine/options.h"

namespace tl {
namespace {

absl::StatusOr<DType> WeightType(const std::string& name, const Config& config) {
  if (name.empty()) return ComputeType(config.precision.compute);
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
    if (name == Name(dtype)) return dtype;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("--dtype ", name, ": expected fp32, bf16 or fp16"));
}

// That of the run's folder, also where one checkpoint in it is given.
std::string NameOfCheckpoint(const std::string& where) {
  namespace fs = std::filesystem;
  std::error_code error;
  fs::path path = fs::absolute(where, error).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();
  const bool inside = !fs::exists(path / "config.toml", error) &&
                      fs::exists(path.parent_path() / "config.toml", error);
  return (inside ? path.parent_path() : path).filename().string();
}

}  // namespace

absl::Status RunExport(const Args& args, Communicator& world) {
  std::string where, format = "hf", out, dtype, weights;
  int64_t shard_mb = 4000;
  bool trunk_only = false;
  Args overrides;
  std::string formats;
  std::vector<std::string> names;
  for (const ExportFormat& f : ExportFormats()) {
    absl::StrAppend(&formats, formats.empty() ? "" : "; ", f.name, ": ", f.help);
    names.emplace_back(f.name);
  }
  Arguments arguments(
      "export",
      "Writes a trained model as a folder that other programs load, with its tokenizer and a "
      "report of where every tensor went. For hf and gguf the trunk must be one that the format "
      "knows: plain (Llama), with qkv_bias (Qwen2), with qk_norm (Qwen3) or with a sliding_window "
      "(Mistral). The longest text is [train] sequence_length. A denoiser is exported as "
      "safetensors, with a module for PyTorch that draws samples.",
      "  trunkline export checkpoints/quickstart --format hf --out exported --dtype bf16\n"
      "  trunkline export checkpoints/quickstart --format gguf --out exported-gguf\n"
      "  trunkline export checkpoints/fashion --format safetensors --out exported-denoiser\n");
  arguments
      .PathPositional("CHECKPOINT", &where,
                      "A run folder (its newest checkpoint) or one checkpoint in it")
      .Option("--format", &format, formats)
      .PathOption("--out", &out, "The folder to write; it must not exist",
                  Arguments::Need::kRequired)
      .Option("--dtype", &dtype, "fp32, bf16 or fp16; without it, what the run computed in")
      .Option("--shard-mb", &shard_mb, 1, "hf, mimo: start another file beyond so many megabytes")
      .Flag("--trunk-only", &trunk_only, "hf, gguf: leave out tensors beside the trunk (heads)")
      .Overrides(&overrides)
      .Words("--format", names)
      .Words("--dtype", {Name(DType::kF32), Name(DType::kBF16), Name(DType::kF16)});
  AddWeightsOption(arguments, &weights);
  TL_ASSIGN_OR_RETURN(const bool run, ParseOrShowHelp(arguments, args, world));
  // Files are written once, however many ranks were started.
  if (!run || world.rank() != 0) return absl::OkStatus();
  TL_ASSIGN_OR_RETURN(const WhichWeights which, ParseWhichWeights(weights));
  TL_RETURN_IF_ERROR(CheckNewFolder(out));
  const auto alone = MakeSelfCommunicator();
  ExportJob job;
  TL_ASSIGN_OR_RETURN(job.config, LoadRunForInference(where, overrides, *alone));
  TL_RETURN_IF_ERROR(FormatFor(job.config.model, format).status());
  TL_ASSIGN_OR_RETURN(job.dtype, WeightType(dtype, job.config));
  if (!job.config.model.of_values()) {
    TL_ASSIGN_OR_RETURN(job.text, LoadRunText(where, job.config));
  }
  TL_ASSIGN_OR_RETURN(const auto source,
                      OpenRunWeights(CheckpointFolder(job.config, where), which));
  job.source = source.get();
  job.name = NameOfCheckpoint(where);
  job.shard_bytes = shard_mb * 1'000'000;
  job.leave = trunk_only ? Leave::kHeads : Leave::kNothing;
  TL_ASSIGN_OR_RETURN(const auto report, Export(job, format, out));
  std::printf("%s%s: written%s\n", ReportText(report).c_str(), out.c_str(),
              source->averaged() ? ", of the average of weights" : "");
  return absl::OkStatus();
}

}  // namespace tl
