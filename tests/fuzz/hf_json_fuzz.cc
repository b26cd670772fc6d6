// SPDX-License-Identifier: Apache-2.0
// Any text as a Hugging Face folder's config.json, as its index of shards and as each file that
// says where texts begin and end: refused, or a model and rules that can be written and read again,
// and files of this folder alone.
//   build/tests/hf_json_fuzz -max_total_time=600 -rss_limit_mb=512 SCRATCH tests/fuzz/hf_json
#include <cstdint>
#include <cstdlib>
#include <map>
#include <string>

#include "convert/hf_config.h"
#include "convert/hf_index.h"
#include "data/folder_rules.h"

namespace {

void TryRules(const std::string& text) {
  const tl::TokenNames names(R"({"model": {"vocab": {"a": 5, "b": 7}}})");
  std::string name;
  (void)tl::ParseTextRules(text, "rules.json", &name);
  for (const char* file : {"config.json", "generation_config.json", "tokenizer_config.json",
                           "special_tokens_map.json", "tokenizer.json", "chat_template.json"}) {
    const std::map<std::string, std::string> files = {{file, text}};
    tl::ChatTemplate(files);
    const auto rules = tl::ReadFolderRules(files, names, 5, "folder");
    if (!rules.ok()) continue;
    const auto again =
        tl::ParseTextRules(tl::WriteTextRules(*rules, tl::kBytesName), "rules.json", &name);
    if (!again.ok() || *again != *rules) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  if (const auto config = tl::ParseHfConfig(text, "config.json"); config.ok()) {
    // A llama without its window may be called a mistral: written, it is a llama.
    const auto written = tl::WriteHfConfig(*config);
    if (!written.ok()) std::abort();
    const auto again = tl::ParseHfConfig(*written, "config.json");
    if (!again.ok() || again->max_positions != config->max_positions) std::abort();
    if (again->model.kv_heads_or_default() != config->model.kv_heads_or_default() ||
        again->model.head_dim_or_default() != config->model.head_dim_or_default() ||
        again->model.vocab != config->model.vocab ||
        again->model.rope_theta != config->model.rope_theta ||
        again->model.rope_scaling.factor != config->model.rope_scaling.factor)
      std::abort();
  }
  TryRules(text);
  if (const auto shards = tl::ParseShardIndex(text, "index.json"); shards.ok()) {
    for (const auto& [file, tensors] : *shards) {
      if (file.find('/') != std::string::npos || file.find('\0') != std::string::npos ||
          file[0] == '.' || tensors.empty())
        std::abort();
    }
  }
  return 0;
}
