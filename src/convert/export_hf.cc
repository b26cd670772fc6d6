// SPDX-License-Identifier: Apache-2.0
#include "base/status.h"
#include "convert/export.h"
#include "convert/shards.h"
#include "convert/text_files.h"
#include "convert/trunk_names.h"

namespace tl {
namespace {

std::string HfName(const std::string& name) {
  return TrunkName(name, Naming::kTrunkline, Naming::kHuggingFace).value_or("");
}

}  // namespace

absl::StatusOr<std::vector<TensorPlacement>> WriteHuggingFace(const ExportJob& job,
                                                              const OutputFolder& out) {
  TL_ASSIGN_OR_RETURN(const std::string config, ConfigFile(job, job.config.model));
  TL_ASSIGN_OR_RETURN(auto placements, PlaceTrunk(job, "hf", HfName));
  TL_RETURN_IF_ERROR(WriteHuggingFaceSides(job, out));
  TL_RETURN_IF_ERROR(WriteShards(*job.source, out, "model", job.shard_bytes, placements));
  TL_RETURN_IF_ERROR(out.WriteText("config.json", config));
  return placements;
}

}  // namespace tl
