// SPDX-License-Identifier: Apache-2.0
#include "infer/generate.h"

#include <fstream>
#include <iostream>
#include <optional>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "cli/command.h"
#include "cli/which_weights.h"
#include "train/machine.h"

namespace tl {
namespace {

// The lines of a file, or of stdin for "-".
absl::Status ReadLines(const std::string& path, std::vector<std::string>* lines) {
  std::ifstream file;
  if (path != "-") file.open(path);
  std::istream& in = path == "-" ? std::cin : file;
  if (!in) return absl::NotFoundError(absl::StrCat("--prompts-from ", path, ": cannot open"));
  for (std::string line; std::getline(in, line);) lines->push_back(line);
  if (in.bad()) return absl::DataLossError(absl::StrCat("--prompts-from ", path, ": cannot read"));
  if (lines->empty())
    return absl::InvalidArgumentError(
        absl::StrCat("--prompts-from ", path, ": expected a prompt per line, found none"));
  return absl::OkStatus();
}

// Rank 0's lines on every rank: it alone has stdin.
void ShareLines(std::vector<std::string>* lines, Communicator& world) {
  std::string all;
  for (const std::string& line : *lines) absl::StrAppend(&all, line, "\n");
  int64_t size = static_cast<int64_t>(all.size());
  Stream stream = Stream::Cpu();
  world.Broadcast(stream, Tensor::Of(&size, {1}), 0);
  all.resize(static_cast<size_t>(size));
  if (size > 0)
    world.Broadcast(stream, Tensor::Of(reinterpret_cast<uint8_t*>(all.data()), {size}), 0);
  lines->clear();
  for (size_t begin = 0; begin < all.size();) {
    const size_t end = all.find('\n', begin);
    lines->push_back(all.substr(begin, end - begin));
    begin = end + 1;
  }
}

absl::Status GatherPrompts(const std::string& prompt, const std::string& from,
                           std::vector<std::string>* prompts, Communicator& world) {
  if (from.empty() && prompt.empty())
    return absl::InvalidArgumentError("--prompt or --prompts-from is required");
  if (!from.empty() && !prompt.empty())
    return absl::InvalidArgumentError("--prompt and --prompts-from: expected one of them");
  *prompts = {prompt};
  if (from.empty()) return absl::OkStatus();
  prompts->clear();
  const absl::Status mine = world.rank() == 0 ? ReadLines(from, prompts) : absl::OkStatus();
  const absl::Status all = AgreeOnStatus(world, mine);
  if (!all.ok()) return mine.ok() ? all : mine;
  ShareLines(prompts, world);
  return absl::OkStatus();
}

}  // namespace

absl::Status RunGenerate(const Args& args, Communicator& world) {
  std::string dir, prompt, prompts_from, weights;
  GenerateOptions options;
  int64_t seed = 1;
  Args overrides;
  std::vector<std::string> drafters = DrafterKinds();
  drafters.emplace_back("auto");
  Arguments arguments(
      "generate",
      "Continues prompts with the model of a run folder. Several are decoded at once; texts depend "
      "on the seed and the place of the prompt, not on the batch. With --speculate, several tokens "
      "are drafted and then checked in one pass of the model.",
      "  trunkline generate checkpoints/quickstart --prompt 'And God said' "
      "--max-tokens 300 --temperature 0.7\n"
      "  trunkline generate checkpoints/quickstart --prompt 'And God said' --speculate lookup "
      "--report\n"
      "  trunkline generate RUN --prompt 'And God said' --speculate heads --tree 4x2x1 --report\n"
      "  mpirun -n 2 trunkline generate RUN --prompts-from - --batch 8 --json < prompts.txt\n");
  arguments
      .PathPositional("WHERE", &dir, "A run folder ([run] dir of a training) or one checkpoint")
      .Option("--prompt", &prompt, "The text to continue")
      .PathOption("--prompts-from", &prompts_from, "A file with a prompt per line; - for stdin")
      .Option("--batch", &options.batch, 1, "Prompts that are continued at once")
      .Option("--max-tokens", &options.max_tokens, 1, "Tokens to add at most")
      .Option("--temperature", &options.sampling.temperature, 0.0, "0: always the likeliest token")
      .Option("--top-k", &options.sampling.top_k, 0,
              "Choose among the k likeliest tokens; 0: among all")
      .Option("--top-p", &options.sampling.top_p, 0.0,
              "Choose among the likeliest tokens that together reach this probability")
      .Option("--seed", &seed, 0, "The same seed gives the same text")
      .Option("--stop", &options.stops,
              "End before this text, \\n and the like as in C; may be given several times")
      .Option("--speculate", &options.speculate,
              "Who drafts: " + DrafterNames() + "; auto: what `trunkline calibrate` found fastest")
      .Option("--drafts", &options.drafts, 1, "Drafted tokens per sequence and pass, at most")
      .Option("--branches", &options.branches, 1, "lookup: continuations drafted side by side")
      .PathOption("--draft-model", &options.draft_model, "draft-model: its run folder")
      .Option("--exit-layer", &options.exit_layer, 0,
              "early-exit: layers that draft; 0: half of them")
      .PathOption(
          "--tree", &options.tree,
          "heads: chain, or what is drafted side by side: the likeliest so many tokens of each "
          "head, as 4x2x1, or a calibration file. By default the tree of WHERE/calibration.json, "
          "where there is one")
      .Option("--verify", &options.verify,
              "match: the text of plain decoding, to the token; rejection: the same "
              "distribution, more drafts taken; typical: more still, but not lossless. By default "
              "rejection where drafts are sampled, else match")
      .Flag("--json", &options.json, "Print an object per sequence and line")
      .Flag("--stream", &options.stream, "Print as it comes; with --json, an object per pass too")
      .Flag("--report", &options.report,
            "Speeds, and what became of drafts; decodes again without them to compare")
      .Overrides(&overrides)
      .Words("--speculate", drafters)
      .Words("--verify", {Name(Verification::kMatch), Name(Verification::kRejection),
                          Name(Verification::kTypical)})
      .Words("--tree", {"chain"});
  AddWeightsOption(arguments, &weights);
  TL_ASSIGN_OR_RETURN(const bool run, ParseOrShowHelp(arguments, args, world));
  if (!run) return absl::OkStatus();
  TL_ASSIGN_OR_RETURN(options.weights, ParseWhichWeights(weights));
  options.seed = static_cast<uint64_t>(seed);
  for (std::string& stop : options.stops) {
    TL_ASSIGN_OR_RETURN(stop, Unescaped("--stop", stop));
  }
  TL_ASSIGN_OR_RETURN(const Config config, LoadRunForInference(dir, overrides, world));
  TL_RETURN_IF_ERROR(ExpectModelOfText(config, dir));
  TL_RETURN_IF_ERROR(GatherPrompts(prompt, prompts_from, &options.prompts, world));
  std::optional<Config> draft_config;
  if (!options.draft_model.empty()) {
    // On the grid of the model.
    const Args grid = {absl::StrCat("parallel.tensor=", config.parallel.tensor),
                       "parallel.sequence=false"};
    TL_ASSIGN_OR_RETURN(draft_config, LoadRunForInference(options.draft_model, grid, world));
    TL_RETURN_IF_ERROR(ExpectModelOfText(*draft_config, options.draft_model));
    draft_config->run.device = config.run.device;
  }
  SetThreads(config.run.threads, world);
  return Generate(dir, config, draft_config ? &*draft_config : nullptr, options, world);
}

}  // namespace tl
