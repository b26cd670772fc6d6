// SPDX-License-Identifier: Apache-2.0
#include "config/data.h"

#include "config/section.h"

namespace tl {

ConfigSection DataSection() {
  SectionOf<DataConfig> s("data", "token files, made by `trunkline tokenize`, or pictures",
                          &Config::data);
  s.Key("train", &DataConfig::train,
        "token files (trunkline, llm.c or Megatron): a path, a list of paths, or a list of { path "
        "= \"a.tok\", weight = 0.7 }; pictures (.npy or IDX) likewise, with labels = \"b.npy\" "
        "where they have classes")
      .Changes(AtResume::kData)
      .Known({"data_path", "train_data_path"});
  s.Key("eval", &DataConfig::eval, "the same, held out").Known({"valid_data_path"});
  s.Key("pack_documents", &DataConfig::pack_documents,
        "keep attention and positions of documents in one sequence apart")
      .Changes(AtResume::kData);
  s.Key("flip", &DataConfig::flip,
        "pictures: mirror every other training sample left-right, by its number")
      .Changes(AtResume::kData);
  s.Key(
       "dequantize", &DataConfig::dequantize,
       "pictures of bytes: (v + u) / 128 - 1 with u from 0 to 1 by sample and place, not (v + 1/2) "
       "/ 128 - 1")
      .Changes(AtResume::kData);
  s.Key("any_tokenizer", &DataConfig::any_tokenizer,
        "take data whose tokenizer is another than that of the weights it starts from");
  return s.Take();
}

}  // namespace tl
