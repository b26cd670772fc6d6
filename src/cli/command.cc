// SPDX-License-Identifier: Apache-2.0
#include "cli/command.h"

#include <cstdio>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status.h"
#include "base/user_path.h"
#include "base/version.h"
#include "base/watchdog.h"
#include "checkpoint/run_config.h"
#include "cli/outline.h"
#include "comm/facts.h"
#include "config/parse.h"
#include "config/suggest.h"
#include "engine/validate.h"
#include "objective/keys.h"

namespace tl {
namespace {

constexpr Command kCommands[] = {
    {"train", "train a model as a config file says", RunTrain},
    {"eval", "the loss of a trained model on held-out text", RunEval},
    {"generate", "text from a trained model", RunGenerate},
    {"sample", "pictures, or other values, from a trained denoiser", RunSample},
    {"calibrate", "which drafts make a model write faster on this machine", RunCalibrate},
    {"export", "a trained model in the formats of other programs", RunExport},
    {"import", "a checkpoint out of a Hugging Face folder", RunImport},
    {"tokenize", "make token files out of text", RunTokenize},
    {"verify", "read every byte of token files and checkpoints and check it", RunVerify},
    {"checkpoint", "list, inspect, verify, reshard and compare checkpoints", RunCheckpoint,
     CheckpointCommands},
    {"report", "the curves and numbers of trainings as one HTML page", RunReport},
    {"bench", "the speed of training steps on this machine", RunBench},
    {"info", "devices, ranks, libraries and native precisions", RunInfo},
    {"completion", "what completes this program's command line in bash or zsh", RunCompletion},
    {"help", "this, a command's help, or the table of config keys", RunHelp},
};

absl::Status LoadAndValidate(const std::string& path, const Args& overrides, int ranks,
                             Config* config) {
  TL_ASSIGN_OR_RETURN(*config, LoadConfig(AllKeys(), path, overrides));
  if (const absl::Status status = Validate(*config, ranks); !status.ok()) {
    return {status.code(), absl::StrCat(path, ": ", status.message())};
  }
  return absl::OkStatus();
}

absl::Status LoadAndFit(const std::string& dir, const Args& overrides, int ranks, Config* config) {
  TL_ASSIGN_OR_RETURN(*config, LoadRunConfig(dir, overrides));
  if (ranks % config->parallel.tensor != 0) config->parallel.tensor = 1;
  config->train.global_batch_size =
      config->train.micro_batch_size * (ranks / config->parallel.tensor);
  if (const absl::Status status = Validate(*config, ranks); !status.ok()) {
    return {status.code(), absl::StrCat(dir, "/config.toml: ", status.message())};
  }
  return absl::OkStatus();
}

// All ranks get an error where one has one. Rank 0, which prints, keeps its own, unprefixed.
absl::Status Agree(Communicator& world, const absl::Status& mine) {
  const absl::Status all = AgreeOnStatus(world, mine);
  return world.rank() == 0 && !mine.ok() ? mine : all;
}

// Counts paths of data; the paths themselves may differ from rank to rank.
std::string CountOf(size_t paths) {
  return paths == 0 ? "not given" : absl::StrCat(paths, paths == 1 ? " file" : " files");
}

std::string WeightsOf(const std::vector<WeightedPath>& paths) {
  std::string weights;
  int labelled = 0;
  for (const WeightedPath& path : paths) {
    absl::StrAppend(&weights, weights.empty() ? " with weights " : ", ", path.weight);
    labelled += !path.labels.empty();
  }
  if (labelled > 0) absl::StrAppend(&weights, ", labels beside ", labelled);
  return weights;
}

Fact FactOf(const ConfigKey& key, const Config& config) {
  Fact fact = {.what = absl::StrCat("[", key.section, "] ", key.name),
               .value = ValueText(key, config)};
  if (key.type == ValueType::kPaths) {
    const auto data = std::get<std::vector<WeightedPath>>(key.get(config));
    fact.value = CountOf(data.size()) + WeightsOf(data);
  } else if (key.type == ValueType::kPath) {
    fact.also = ToToml(WithTildeForHome(std::get<std::string>(key.get(config))));
  }
  return fact;
}

Fact FactOf(const std::string& option, const std::vector<std::string>& values) {
  if (option == "--data") return {.what = option, .value = CountOf(values.size())};
  Fact fact = {.what = option,
               .value = values.empty() ? "(not given)" : absl::StrJoin(values, " ")};
  for (const std::string& value : values)
    absl::StrAppend(&fact.also, fact.also.empty() ? "" : " ", WithTildeForHome(value));
  return fact;
}

absl::Status AgreeOnConfig(Communicator& world, const Config& config) {
  std::vector<Fact> facts;
  for (const ConfigKey& key : AllKeys().keys()) facts.push_back(FactOf(key, config));
  return AgreeOnFacts(world, facts);
}

}  // namespace

absl::Span<const Command> Commands() { return kCommands; }

absl::Status RunCommand(const Args& args, Communicator& world) {
  if (args.empty() || args[0] == "--help" || args[0] == "-h") return RunHelp({}, world);
  if (args[0] == "--version") {
    if (world.rank() == 0) std::printf("trunkline %s\n", kVersion);
    return absl::OkStatus();
  }
  std::string nearest;
  int best = 1 << 20;
  for (const Command& command : kCommands) {
    if (args[0] == command.name) return command.run(Args(args.begin() + 1, args.end()), world);
    const int distance = EditDistance(args[0], command.name);
    if (distance < best) {
      best = distance;
      nearest = command.name;
    }
  }
  return absl::InvalidArgumentError(absl::StrCat("unknown command ", args[0], "; did you mean ",
                                                 nearest, "? `trunkline help` lists all"));
}

absl::StatusOr<bool> ParseOrShowHelp(Arguments& arguments, const Args& args, Communicator& world) {
  if (OutlineRequest* request = OutlineRequest::Current(); request != nullptr) {
    request->arguments = arguments.Outline();
    return false;
  }
  const absl::StatusOr<Arguments::Outcome> parsed = arguments.Parse(args);
  TL_RETURN_IF_ERROR(Agree(world, parsed.status()));
  const Arguments::Outcome outcome = *parsed;
  std::vector<Fact> facts = {
      {.what = "--help", .value = outcome == Arguments::Outcome::kHelp ? "given" : "not given"}};
  for (const auto& [name, values] : arguments.Options()) {
    if (name != "--set") facts.push_back(FactOf(name, values));  // the config tells of those
  }
  TL_RETURN_IF_ERROR(AgreeOnFacts(world, facts));
  if (outcome == Arguments::Outcome::kRun) return true;
  if (world.rank() == 0) std::fputs(arguments.help().c_str(), stdout);
  return false;
}

absl::StatusOr<Config> LoadValidConfig(const std::string& path, const Args& overrides,
                                       Communicator& world) {
  Config config;
  TL_RETURN_IF_ERROR(Agree(world, LoadAndValidate(path, overrides, world.size(), &config)));
  TL_RETURN_IF_ERROR(AgreeOnConfig(world, config));
  StartWatchdog(static_cast<double>(config.run.watchdog_seconds));
  return config;
}

absl::Status ExpectModelOfText(const Config& config, const std::string& dir) {
  if (!config.model.of_values()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      dir +
      " is a model of values, not of text: `trunkline sample` draws from it, `trunkline eval` "
      "measures it");
}

absl::StatusOr<Config> LoadRunForInference(const std::string& dir, const Args& overrides,
                                           Communicator& world) {
  Config config;
  TL_RETURN_IF_ERROR(Agree(world, LoadAndFit(dir, overrides, world.size(), &config)));
  TL_RETURN_IF_ERROR(AgreeOnConfig(world, config));
  StartWatchdog(static_cast<double>(config.run.watchdog_seconds));
  return config;
}

}  // namespace tl
