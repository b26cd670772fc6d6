// SPDX-License-Identifier: Apache-2.0
#include "infer/drafter.h"

#include <array>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "infer/heads_drafter.h"
#include "infer/mtp_drafter.h"
#include "objective/descriptor.h"

namespace tl {
namespace {

using Made = absl::StatusOr<std::unique_ptr<Drafter>>;

struct Entry {
  const char* name;
  Made (*make)(const DrafterOptions&, LanguageModel& model, LanguageModel* draft_model);
};

Made MakeNone(const DrafterOptions&, LanguageModel&, LanguageModel*) { return nullptr; }

Made MakeLookup(const DrafterOptions& options, LanguageModel&, LanguageModel*) {
  return std::make_unique<LookupDrafter>(options);
}

Made MakeDraftModel(const DrafterOptions& options, LanguageModel& model, LanguageModel* drafts) {
  if (drafts == nullptr)
    return absl::InvalidArgumentError(
        "--speculate draft-model needs --draft-model, the run folder of the smaller model");
  if (drafts->vocab() != model.vocab())
    return absl::InvalidArgumentError(absl::StrCat("--draft-model ", options.draft_model,
                                                   ": expected the model's vocabulary of ",
                                                   model.vocab(), ", found ", drafts->vocab()));
  return std::make_unique<ModelDrafter>(options, *drafts);
}

Made MakeEarlyExit(const DrafterOptions& options, LanguageModel& model, LanguageModel*) {
  if (model.layers() < 2 || options.exit_layer >= model.layers())
    return absl::InvalidArgumentError(absl::StrCat("--exit-layer ", options.exit_layer,
                                                   ": expected fewer than the model's ",
                                                   model.layers(), " layers"));
  return std::make_unique<EarlyExitDrafter>(options, model);
}

Made MakeMtp(const DrafterOptions& options, LanguageModel& model, LanguageModel*) {
  const ObjectiveConfig& objective = model.model().options().objective;
  if (DescriptorOf(objective).drafter != options.kind)
    return absl::InvalidArgumentError(
        absl::StrCat("--speculate mtp: expected a model of the objective ",
                     ObjectivesThatDraft(options.kind), ", found ", objective.name));
  return std::make_unique<MtpDrafter>(options, model);
}

Made MakeHeads(const DrafterOptions& options, LanguageModel& model, LanguageModel*) {
  const int heads = HeadsThatDraft(model);
  if (heads == 0)
    return absl::InvalidArgumentError(absl::StrCat(
        "--speculate heads: expected a model of ", ObjectivesThatDraft("heads"),
        " with heads beside its main one, found one of ", model.model().options().objective.name));
  if (options.tree.depth() > heads)
    return absl::InvalidArgumentError(absl::StrCat("--speculate heads: a tree of depth ",
                                                   options.tree.depth(), ", but the model has ",
                                                   heads, " heads that draft"));
  return std::make_unique<HeadsDrafter>(options, model);
}

constexpr std::array kDrafters = {Entry{"none", MakeNone},
                                  Entry{"lookup", MakeLookup},
                                  Entry{"draft-model", MakeDraftModel},
                                  Entry{"early-exit", MakeEarlyExit},
                                  Entry{"mtp", MakeMtp},
                                  Entry{"heads", MakeHeads}};

}  // namespace

std::vector<std::string> DrafterKinds() {
  std::vector<std::string> kinds;
  for (const Entry& entry : kDrafters) kinds.emplace_back(entry.name);
  return kinds;
}

std::string DrafterNames() { return absl::StrJoin(DrafterKinds(), ", "); }

absl::Status CheckDrafter(const std::string& kind) {
  for (const Entry& entry : kDrafters) {
    if (kind == entry.name) return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("--speculate ", kind, ": expected one of ", DrafterNames()));
}

Made MakeDrafter(const DrafterOptions& options, LanguageModel& model, LanguageModel* draft_model) {
  for (const Entry& entry : kDrafters) {
    if (options.kind == entry.name) return entry.make(options, model, draft_model);
  }
  return CheckDrafter(options.kind);
}

}  // namespace tl
