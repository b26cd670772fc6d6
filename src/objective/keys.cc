#include "objective/keys.h"

#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "config/section.h"
#include "objective/objective.h"

namespace tl {
namespace {

ConfigSection ObjectiveSection() {
  using O = ObjectiveConfig;
  SectionOf<O> s("objective", "what is trained on top of the trunk", &Config::objective);
  const auto key = [&](const char* name, auto field, const char* doc) -> ConfigKey& {
    return s.Key(name, field, doc).Changes(AtResume::kLoss);
  };
  const std::vector<std::string> names = absl::StrSplit(ObjectiveNames(), ", ");
  key("name", &O::name, "what is predicted").OneOf(names);
  key("heads", &O::heads,
      "independent_heads: heads, the main one included; medusa: heads beside the main one")
      .In(kZeroOrMore);
  key("weights", &O::weights, "independent_heads: of each head's loss; []: all 1").In(kPositive);
  key("match_parameters", &O::match_parameters,
      "independent_heads: the heads' blocks are taken from the trunk's [model] layers");
  key("curriculum", &O::curriculum,
      "independent_heads: forward: heads join one by one; reverse: they leave one by one");
  key("curriculum_steps", &O::curriculum_steps, "steps over which they do; 0: all").In(kZeroOrMore);
  key("depth", &O::depth, "sequential_mtp: modules, one further token each").In(kZeroOrMore);
  key("share_weights", &O::share_weights, "sequential_mtp: one module, unrolled");
  key("hidden", &O::hidden,
      "sequential_mtp: what the first module is fed: the trunk's state after its final norm, or "
      "its residual stream");
  key("detach_hidden", &O::detach_hidden,
      "sequential_mtp: no gradient from the modules into the trunk's state");
  key("detach_shared", &O::detach_shared,
      "sequential_mtp: no gradient from the modules into the shared embedding and unembedding");
  key("lambda", &O::lambda, "sequential_mtp: weight of the modules' mean loss").In(kZeroOrMore);
  key("lambda_late", &O::lambda_late, "sequential_mtp: the same, late in training").In(kZeroOrMore);
  key("late_after", &O::late_after, "sequential_mtp: fraction of the steps after which it is late")
      .In({0, 1});
  key("freeze_trunk", &O::freeze_trunk,
      "sequential_mtp, medusa (its stage 1): the heads alone are trained, on the trunk of [run] "
      "init_from");
  key("residual_layers", &O::residual_layers, "medusa: residual layers of a head").In(kCount);
  key("own_unembedding", &O::own_unembedding,
      "medusa: each head has an unembedding of its own, at first a copy of the trunk's");
  key("distill", &O::distill,
      "medusa: the heads learn the trunk's own distribution of each token, not the text's");
  key("head_weight", &O::head_weight,
      "medusa, stage 2: weight of the heads' losses beside the main one")
      .In(kPositive);
  key("decay", &O::decay, "medusa: head k's loss is weighted by decay^k")
      .In({0, 1, Range::kAboveLow});
  key("lr_scale", &O::lr_scale, "medusa: the heads' learning rate over that of the trunk")
      .In(kPositive);
  key("warmup_steps", &O::warmup_steps, "medusa: steps of linear rise of the heads' weight")
      .In(kZeroOrMore);
  return s.Take();
}

}  // namespace

const ConfigTable& AllKeys() {
  static const auto* const table = new ConfigTable(ObjectiveSection());
  return *table;
}

}  // namespace tl
