#include "config/objective.h"

namespace tl {

const char* Name(Curriculum curriculum) {
  switch (curriculum) {
    case Curriculum::kNone:
      return "none";
    case Curriculum::kForward:
      return "forward";
    case Curriculum::kReverse:
      return "reverse";
  }
  return "?";
}

const char* Name(HiddenTap hidden) {
  switch (hidden) {
    case HiddenTap::kFinalNorm:
      return "final_norm";
    case HiddenTap::kStream:
      return "stream";
  }
  return "?";
}

}  // namespace tl
