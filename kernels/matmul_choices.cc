// SPDX-License-Identifier: Apache-2.0
#include "kernels/matmul_choices.h"

namespace tl {

const char* Name(Reduction reduction) {
  switch (reduction) {
    case Reduction::kNone:
      return "none";
    case Reduction::kInPlace:
      return "in place";
    case Reduction::kComputeType:
      return "in fp32";
    case Reduction::kOutputType:
      return "in the output's type";
  }
  return "unknown";
}

void CheckArgs(const MatmulChoicesArgs& args) {
  TL_CHECK(args.made != nullptr);
  TL_CHECK_LT(0, args.most);
}

}  // namespace tl
