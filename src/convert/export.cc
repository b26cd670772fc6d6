// SPDX-License-Identifier: Apache-2.0
#include "convert/export.h"

#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status.h"
#include "convert/report.h"
#include "engine/model.h"

namespace tl {
namespace {

// The source's tensors are the model's, no more and no less: else one of them is another run's.
absl::Status CheckSource(const ExportJob& job) {
  TL_ASSIGN_OR_RETURN(const std::vector<ParamPart> declared,
                      ModelTensors(job.config.model, job.config.objective));
  std::map<std::string, bool> seen;
  for (const ParamPart& part : declared) {
    const SourceTensor* tensor = job.source->Find(part.name);
    std::vector<int64_t> shape;
    for (int i = 0; i < part.shape.rank(); ++i) shape.push_back(part.shape[i]);
    if (tensor == nullptr || tensor->shape != shape) {
      return absl::InvalidArgumentError(absl::StrCat(
          "the checkpoint and its config.toml differ: tensor ", part.name, ": expected ",
          ShapeText(shape), ", found ", tensor == nullptr ? "none" : ShapeText(tensor->shape)));
    }
    seen[part.name] = true;
  }
  for (const SourceTensor& tensor : job.source->tensors()) {
    if (seen.count(tensor.name) == 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("the checkpoint and its config.toml differ: tensor ", tensor.name, " ",
                       ShapeText(tensor.shape), " is not the model's"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

const std::vector<ExportFormat>& ExportFormats() {
  static const auto* const formats = new std::vector<ExportFormat>{
      {"hf", "the trunk for Hugging Face's transformers, vLLM, SGLang", WriteHuggingFace},
      {"medusa", "Medusa heads for vLLM, without the trunk", WriteMedusa},
      {"medusa-original", "Medusa heads in their authors' layout, without the trunk",
       WriteMedusaOriginal},
      {"mimo", "the trunk with one sequential MTP module for vLLM, SGLang", WriteMimo},
      {"gguf", "the trunk for llama.cpp", WriteGguf},
      {"safetensors", "a denoiser for PyTorch, with its module and a sampler", WriteDenoiser,
       /*of_values=*/true},
  };
  return *formats;
}

absl::StatusOr<const ExportFormat*> FormatFor(const ModelConfig& model, const std::string& name) {
  std::vector<const char*> all, fitting;
  const ExportFormat* found = nullptr;
  for (const ExportFormat& format : ExportFormats()) {
    all.push_back(format.name);
    if (format.of_values == model.of_values()) fitting.push_back(format.name);
    if (name == format.name) found = &format;
  }
  if (found == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("--format ", name, ": expected one of ", absl::StrJoin(all, ", ")));
  }
  if (found->of_values == model.of_values()) return found;
  return absl::InvalidArgumentError(
      absl::StrCat("--format ", name, ": expected ", fitting.size() > 1 ? "one of " : "",
                   absl::StrJoin(fitting, ", "), ", since this is a model of ",
                   model.of_values() ? "values, not of text" : "text, not of values"));
}

absl::StatusOr<std::vector<TensorPlacement>> PlaceTrunk(const ExportJob& job, const char* format,
                                                        std::string (*rename)(const std::string&)) {
  std::vector<TensorPlacement> placements;
  for (const SourceTensor& tensor : job.source->tensors()) {
    TensorPlacement placement{.source = tensor.name,
                              .target = rename(tensor.name),
                              .shape = tensor.shape,
                              .dtype = job.dtype};
    if (placement.target.empty()) {
      const std::string reason = absl::StrCat("format ", format, " holds the trunk alone");
      if (job.leave == Leave::kNothing) {
        return absl::InvalidArgumentError(absl::StrCat(
            "tensor ", tensor.name, " ", ShapeText(tensor.shape), " of objective ",
            job.config.objective.name, ": ", reason, "; --trunk-only leaves such tensors out"));
      }
      placement.note = absl::StrCat("left out: ", reason);
    }
    placements.push_back(std::move(placement));
  }
  return placements;
}

absl::Status RefuseTrunkOnly(const ExportJob& job, const char* format) {
  if (job.leave == Leave::kNothing) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("--trunk-only leaves heads out, which format ", format, " is for"));
}

absl::StatusOr<std::vector<TensorPlacement>> Export(const ExportJob& job, const std::string& format,
                                                    const std::string& out) {
  TL_ASSIGN_OR_RETURN(const ExportFormat* to, FormatFor(job.config.model, format));
  TL_RETURN_IF_ERROR(CheckSource(job));
  TL_ASSIGN_OR_RETURN(OutputFolder folder, OutputFolder::Create(out));
  TL_ASSIGN_OR_RETURN(std::vector<TensorPlacement> placements, to->write(job, folder));
  TL_RETURN_IF_ERROR(folder.WriteText(kReportFile, ReportJson(format, placements)));
  TL_RETURN_IF_ERROR(folder.Commit());
  return placements;
}

}  // namespace tl
