// SPDX-License-Identifier: Apache-2.0
// Token files of bytes for tests that run the program.
#pragma once

#include <string>

#include "data/tokenize.h"
#include "tests/program/job.h"

namespace tl {

// FOLDER/text.txt, FOLDER/train.tok and, of its last tenth, FOLDER/eval.tok.
inline void MakeTokenFiles(const std::string& folder, const std::string& text) {
  WriteFile(folder + "/text.txt", text);
  ASSERT_TRUE(TokenizeFiles({.texts = {folder + "/text.txt"},
                             .out = folder + "/train.tok",
                             .holdout = 0.1,
                             .holdout_out = folder + "/eval.tok"})
                  .ok());
}

}  // namespace tl
