// SPDX-License-Identifier: Apache-2.0
#include "config/data.h"

#include "config/section.h"

namespace tl {

ConfigSection DataSection() {
  SectionOf<DataConfig> s("data", "token files, made by `trunkline tokenize`", &Config::data);
  s.Key("train", &DataConfig::train,
        "token files (trunkline, llm.c or Megatron): a path, a list of paths, or a list of { path "
        "= \"a.tok\", weight = 0.7 }")
      .Changes(AtResume::kData)
      .Known({"data_path", "train_data_path"});
  s.Key("eval", &DataConfig::eval, "the same, held out").Known({"valid_data_path"});
  s.Key("pack_documents", &DataConfig::pack_documents,
        "keep attention and positions of documents in one sequence apart")
      .Changes(AtResume::kData);
  s.Key("any_tokenizer", &DataConfig::any_tokenizer,
        "take data whose tokenizer is another than that of the weights it starts from");
  return s.Take();
}

}  // namespace tl
