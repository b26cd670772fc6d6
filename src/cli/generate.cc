#include "infer/generate.h"

#include "base/status.h"
#include "cli/command.h"
#include "train/machine.h"

namespace tl {

absl::Status RunGenerate(const Args& args, Communicator& world) {
  std::string dir;
  GenerateOptions options;
  int64_t seed = 1;
  Args overrides;
  Arguments arguments("generate",
                      "Continues a prompt with the model of a run folder and prints the text as it "
                      "comes.",
                      "  trunkline generate checkpoints/quickstart --prompt 'And God said' "
                      "--max-tokens 300 --temperature 0.7\n");
  arguments.Positional("WHERE", &dir, "The run folder: [run] dir of a training")
      .Option("--prompt", &options.prompt, "The text to continue", Arguments::Need::kRequired)
      .Option("--max-tokens", &options.max_tokens, 1, "Tokens to add at most")
      .Option("--temperature", &options.temperature, 0.0, "0: always the likeliest token")
      .Option("--top-k", &options.top_k, 0, "Choose among the k likeliest tokens; 0: among all")
      .Option("--seed", &seed, 0, "The same seed gives the same text")
      .Overrides(&overrides);
  TL_ASSIGN_OR_RETURN(const bool run, ParseOrShowHelp(arguments, args, world));
  if (!run) return absl::OkStatus();
  options.seed = static_cast<uint64_t>(seed);
  TL_ASSIGN_OR_RETURN(const Config config, LoadRunForInference(dir, overrides, world));
  SetThreads(config.run.threads, world);
  return Generate(dir, config, options, world);
}

}  // namespace tl
