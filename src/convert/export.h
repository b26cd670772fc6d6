// SPDX-License-Identifier: Apache-2.0
// Hands a trained model over to other programs: one folder per format, complete or absent.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "config/config.h"
#include "convert/output_folder.h"
#include "convert/weights.h"
#include "data/model_text.h"

namespace tl {

enum class Leave : uint8_t {
  kNothing,  // a tensor that the format cannot hold is an error
  kHeads,    // tensors beside the trunk are left out, and the report says so
};

struct ExportJob {
  Config config;
  const WeightSource* source = nullptr;
  ModelText text;
  std::string name;  // of the model, where a format has room for one
  DType dtype = DType::kF32;
  int64_t shard_bytes = int64_t{4000} << 20;
  Leave leave = Leave::kNothing;
};

struct ExportFormat {
  const char* name;
  const char* help;  // one line
  // Writes the files and returns where every tensor of the source went.
  absl::StatusOr<std::vector<TensorPlacement>> (*write)(const ExportJob& job,
                                                        const OutputFolder& out);
  bool of_values = false;  // it holds models of values, not of text
};
const std::vector<ExportFormat>& ExportFormats();
// Refuses a name that is none, and formats of values for models of text and the reverse.
absl::StatusOr<const ExportFormat*> FormatFor(const ModelConfig& model, const std::string& name);

absl::StatusOr<std::vector<TensorPlacement>> WriteHuggingFace(const ExportJob& job,
                                                              const OutputFolder& out);
absl::StatusOr<std::vector<TensorPlacement>> WriteMedusa(const ExportJob& job,
                                                         const OutputFolder& out);
absl::StatusOr<std::vector<TensorPlacement>> WriteMedusaOriginal(const ExportJob& job,
                                                                 const OutputFolder& out);
absl::StatusOr<std::vector<TensorPlacement>> WriteMimo(const ExportJob& job,
                                                       const OutputFolder& out);
absl::StatusOr<std::vector<TensorPlacement>> WriteGguf(const ExportJob& job,
                                                       const OutputFolder& out);
absl::StatusOr<std::vector<TensorPlacement>> WriteDenoiser(const ExportJob& job,
                                                           const OutputFolder& out);

// Checks that the source holds just the tensors of the config's model, in their shapes; writes the
// folder with the report as trunkline_report.json, and returns the report.
absl::StatusOr<std::vector<TensorPlacement>> Export(const ExportJob& job, const std::string& format,
                                                    const std::string& out);

// Gives every tensor of the source its name in another format. Those beside the trunk are refused
// or left out.
absl::StatusOr<std::vector<TensorPlacement>> PlaceTrunk(const ExportJob& job, const char* format,
                                                        std::string (*rename)(const std::string&));

// An error where heads were to be left out, for formats that hold heads.
absl::Status RefuseTrunkOnly(const ExportJob& job, const char* format);

}  // namespace tl
