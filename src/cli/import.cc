// SPDX-License-Identifier: Apache-2.0
#include "convert/import.h"

#include <cstdio>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "base/user_path.h"
#include "cli/command.h"
#include "convert/report.h"

namespace tl {

absl::Status RunImport(const Args& args, Communicator& world) {
  std::string folder, out;
  Arguments arguments(
      "import",
      "Makes a checkpoint out of a Hugging Face folder: config.json of LlamaForCausalLM, "
      "Qwen2ForCausalLM, Qwen3ForCausalLM or MistralForCausalLM, safetensors in fp32, bf16 or "
      "fp16, "
      "and tokenizer.json or tokenizer.model. generate, eval and export take the new folder; "
      "training starts from it with [run] init_from and the [model] of its config.toml, and "
      "tokenize takes it as --tokenizer.",
      "  trunkline import Llama-3.2-1B --out checkpoints/llama\n"
      "  trunkline tokenize --tokenizer checkpoints/llama --out data/train.tok book.txt\n"
      "  trunkline train checkpoints/llama/config.toml --set run.dir=checkpoints/tuned "
      "data.train=data/train.tok train.steps=100\n");
  arguments.PathPositional("FOLDER", &folder, "The Hugging Face folder")
      .PathOption("--out", &out, "The folder to write; it must not exist",
                  Arguments::Need::kRequired);
  TL_ASSIGN_OR_RETURN(const bool run, ParseOrShowHelp(arguments, args, world));
  // The new config.toml names a folder after it.
  if (const absl::Status status = CheckUtf8Path(out); !status.ok())
    return absl::InvalidArgumentError(absl::StrCat("--out: ", status.message()));
  // Files are written once, however many ranks were started.
  if (!run || world.rank() != 0) return absl::OkStatus();
  TL_ASSIGN_OR_RETURN(const auto report, ImportHuggingFace(folder, out));
  std::printf("%s%s: written\n", ReportText(report).c_str(), out.c_str());
  return absl::OkStatus();
}

}  // namespace tl
