#include "base/json.h"
#include "base/status.h"
#include "convert/export.h"
#include "convert/hf_config.h"
#include "convert/hf_tokenizer.h"
#include "convert/shards.h"
#include "convert/trunk_names.h"

namespace tl {
namespace {

std::string Rename(const std::string& name) {
  return TrunkName(name, Naming::kTrunkline, Naming::kHuggingFace).value_or("");
}

}  // namespace

absl::StatusOr<std::vector<TensorPlacement>> WriteHuggingFace(const ExportJob& job,
                                                              const OutputFolder& out) {
  TL_ASSIGN_OR_RETURN(const std::string config,
                      WriteHfConfig({.model = job.config.model,
                                     .max_positions = job.config.train.sequence_length,
                                     .dtype = job.dtype,
                                     .end_id = job.tokenizer->end_id()}));
  TL_ASSIGN_OR_RETURN(auto placements, PlaceTrunk(job, "hf", Rename));
  TL_RETURN_IF_ERROR(WriteHuggingFaceSides(job, out));
  TL_RETURN_IF_ERROR(WriteShards(*job.source, out, "model", job.shard_bytes, placements));
  TL_RETURN_IF_ERROR(out.WriteText("config.json", config));
  return placements;
}

absl::Status WriteHuggingFaceSides(const ExportJob& job, const OutputFolder& out) {
  TL_ASSIGN_OR_RETURN(const auto files,
                      HuggingFaceTokenizer(*job.tokenizer, job.config.train.sequence_length));
  for (const auto& [name, text] : files) TL_RETURN_IF_ERROR(out.WriteText(name, text));
  const int32_t end = job.tokenizer->end_id();
  nlohmann::ordered_json generation = {{"do_sample", true}, {"temperature", 1.0}};
  if (end >= 0) generation["eos_token_id"] = end;
  return out.WriteText("generation_config.json", generation.dump(2) + "\n");
}

}  // namespace tl
