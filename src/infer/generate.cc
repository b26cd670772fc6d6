// SPDX-License-Identifier: Apache-2.0
#include "infer/generate.h"

#include <algorithm>
#include <cstdio>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "checkpoint/inputs.h"
#include "checkpoint/run_text.h"
#include "comm/facts.h"
#include "config/config.h"
#include "data/token_names.h"
#include "engine/placement.h"
#include "infer/continuous_batching.h"
#include "infer/report.h"
#include "infer/speculation.h"
#include "kernels/cached_attention.h"
#include "nlohmann/json.hpp"

namespace tl {
namespace {

absl::StatusOr<std::vector<std::vector<int32_t>>> EncodeAll(const std::vector<std::string>& prompts,
                                                            const ModelText& text) {
  std::vector<std::vector<int32_t>> all;
  for (const std::string& prompt : prompts) {
    std::vector<int32_t>& ids = all.emplace_back();
    TL_RETURN_IF_ERROR(text.tokenizer->Encode(prompt, &ids));
    const bool begun = !ids.empty() && ids[0] == text.rules.begin;
    if (text.rules.adds_begin && !begun) ids.insert(ids.begin(), text.rules.begin);
    // A model continues something: without a prompt, the end of a document or token 0.
    if (ids.empty()) ids.push_back(std::max(0, text.rules.end()));
  }
  return all;
}

// Equal ids must stand for equal texts.
absl::Status CheckDraftTokenizer(const Tokenizer& tokenizer, const Config& draft_config,
                                 const std::string& draft_dir) {
  TL_ASSIGN_OR_RETURN(const ModelText text, LoadRunText(draft_dir, draft_config));
  const Tokenizer& other = *text.tokenizer;
  if (other.hash() == tokenizer.hash()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("--draft-model ", draft_dir,
                                                 ": expected the model's tokenizer, ",
                                                 tokenizer.name(), ", found ", other.name()));
}

std::string Line(const nlohmann::json& json) {
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

void Put(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

void TellBegin(const ModelText& text, bool json) {
  if (!text.rules.adds_begin) return;
  const std::string name = TokenName(*text.tokenizer, text.rules.begin);
  if (json) {
    Put(Line({{"record", "begin"}, {"token", text.rules.begin}, {"name", name}}));
  } else {
    std::fputs(("each prompt begins with " + name + "\n").c_str(), stderr);
  }
}

// What rank 0 prints.
class Printer {
 public:
  explicit Printer(const GenerateOptions& options) : options_(options) {
    if (!options_.json && single()) Put(options_.prompts[0]);
  }

  void Pass(const Continuation& c, absl::Span<const int32_t> added, const std::string& text,
            const Decoder::Outcome& outcome) {
    if (options_.json && options_.stream)
      Put(Line({{"record", "pass"},
                {"sequence", c.sequence.id},
                {"pass", c.passes},
                {"drafted", outcome.drafted},
                {"accepted", outcome.accepted},
                {"tokens", std::vector<int32_t>(added.begin(), added.end())},
                {"text", text}}));
    if (!options_.json && single()) Put(text);
    if (c.stop == FinishReason::kNone) return;
    if (options_.json) {
      const auto tokens = c.tokens();
      Put(Line({{"record", "sequence"},
                {"sequence", c.sequence.id},
                {"prompt", options_.prompts[static_cast<size_t>(c.sequence.id)]},
                {"text", c.text.text()},
                {"tokens", std::vector<int32_t>(tokens.begin(), tokens.end())},
                {"stop", Name(c.stop)},
                {"passes", c.passes},
                {"drafted", c.drafted},
                {"accepted", c.accepted}}));
    } else if (single()) {
      Put("\n");
    } else {
      PutInOrder(c);
    }
  }

  void Report(const DecodeReport& report) {
    if (options_.json) {
      nlohmann::json json = ReportJson(report);
      json["record"] = "report";
      Put(Line(json));
    } else {
      std::fputs(ReportText(report).c_str(), stderr);
    }
  }

 private:
  bool single() const { return options_.prompts.size() == 1; }
  void PutInOrder(const Continuation& c) {
    texts_.resize(options_.prompts.size());
    const auto id = static_cast<size_t>(c.sequence.id);
    texts_[id] = options_.prompts[id] + c.text.text() + "\n";
    for (; next_ < texts_.size() && !texts_[next_].empty(); ++next_) Put(texts_[next_]);
  }

  const GenerateOptions& options_;
  std::vector<std::string> texts_;
  size_t next_ = 0;
};

// What a calibration that a rank reads may have chosen.
std::vector<Fact> FactsOf(const Speculation& speculation) {
  std::string tree;
  for (const TreeShape::Node& node : speculation.tree.nodes())
    absl::StrAppend(&tree, tree.empty() ? "" : ",", node.parent, ":", node.rank);
  return {{.what = "the drafter", .value = speculation.kind},
          {.what = "drafts", .value = absl::StrCat(speculation.drafts)},
          {.what = "the tree of drafts", .value = absl::StrCat("\"", tree, "\"")}};
}

}  // namespace

absl::Status Validate(const GenerateOptions& options) {
  if (options.speculate != "auto") TL_RETURN_IF_ERROR(CheckDrafter(options.speculate));
  if (options.prompts.empty()) return absl::InvalidArgumentError("no prompts");
  if (options.sampling.top_p <= 0.0 || options.sampling.top_p > 1.0)
    return absl::InvalidArgumentError(
        absl::StrCat("--top-p ", options.sampling.top_p, ": expected more than 0, at most 1"));
  if (options.drafts >= kTreeKeys)
    return absl::InvalidArgumentError(
        absl::StrCat("--drafts ", options.drafts, ": expected fewer than ", kTreeKeys));
  for (const std::string& stop : options.stops) {
    if (stop.empty()) return absl::InvalidArgumentError("--stop: expected a text, found nothing");
  }
  if (!options.draft_model.empty() && options.speculate != "draft-model")
    return absl::InvalidArgumentError("--draft-model is for --speculate draft-model");
  if (options.branches > 1 && options.speculate != "lookup")
    return absl::InvalidArgumentError("--branches is for --speculate lookup");
  if (options.exit_layer > 0 && options.speculate != "early-exit")
    return absl::InvalidArgumentError("--exit-layer is for --speculate early-exit");
  if (!options.tree.empty() && options.speculate != "heads")
    return absl::InvalidArgumentError("--tree is for --speculate heads");
  if (options.stream && !options.json && options.prompts.size() > 1)
    return absl::InvalidArgumentError(
        "--stream: the texts of several prompts come side by side; use --json with it");
  return absl::OkStatus();
}

absl::Status Generate(const std::string& run_dir, const Config& run_config,
                      const Config* draft_config, const GenerateOptions& options,
                      Communicator& world) {
  TL_RETURN_IF_ERROR(Validate(options));
  const auto chosen = ChooseSpeculation(options, run_config, run_dir);
  TL_RETURN_IF_ERROR(AgreeOnStatus(world, chosen.status()));
  const Speculation& speculation = *chosen;
  if (world.rank() == 0 && !speculation.told.empty()) {
    if (options.json) {
      Put(Line(
          {{"record", "speculation"}, {"drafter", speculation.kind}, {"why", speculation.told}}));
    } else {
      std::fputs((speculation.told + "\n").c_str(), stderr);
    }
  }
  TL_RETURN_IF_ERROR(AgreeOnFacts(world, FactsOf(speculation)));
  const std::string saves = CheckpointFolder(run_config, run_dir);
  TL_RETURN_IF_ERROR(CheckEvalInputs("data", {}, run_config, saves, world));
  if (draft_config != nullptr) {
    TL_RETURN_IF_ERROR(CheckEvalInputs(
        "data", {}, *draft_config, CheckpointFolder(*draft_config, options.draft_model), world));
  }
  TL_ASSIGN_OR_RETURN(Mesh mesh, MakeMesh(run_config, world));
  auto text = LoadRunText(run_dir, run_config);
  std::vector<std::vector<int32_t>> prompts;
  absl::Status status = text.status();
  if (status.ok()) {
    auto encoded = EncodeAll(options.prompts, *text);
    status = encoded.status();
    if (status.ok()) prompts = *std::move(encoded);
    if (status.ok() && draft_config != nullptr)
      status = CheckDraftTokenizer(*text->tokenizer, *draft_config, options.draft_model);
  }
  TL_RETURN_IF_ERROR(AgreeOnStatus(world, status));
  TL_RETURN_IF_ERROR(
      AgreeOnFacts(world, {{.what = "the tokenizer", .value = text->tokenizer->name()}}));
  if (world.rank() == 0) TellBegin(*text, options.json);

  int64_t longest = 0;
  for (const auto& prompt : prompts)
    longest = std::max(longest, static_cast<int64_t>(prompt.size()));
  const auto limits = [&](const Config& config, int64_t drafts) {
    const int64_t length = config.train.sequence_length;
    const int64_t all = options.max_tokens >= length ? length : longest + options.max_tokens;
    return DecodeLimits{.sequences = std::min(options.batch, static_cast<int64_t>(prompts.size())),
                        .context = std::min(length, all),
                        .drafts = drafts};
  };
  TL_ASSIGN_OR_RETURN(const auto model, LanguageModel::Load(run_dir, run_config,
                                                            limits(run_config, speculation.drafts),
                                                            options.weights, mesh));
  std::unique_ptr<LanguageModel> draft_model;
  if (draft_config != nullptr) {
    const WhichWeights which = options.weights == WhichWeights::kTrained
                                   ? WhichWeights::kTrained
                                   : WhichWeights::kAveragedIfThere;
    TL_ASSIGN_OR_RETURN(draft_model, LanguageModel::Load(options.draft_model, *draft_config,
                                                         limits(*draft_config, 0), which, mesh));
  }
  TL_ASSIGN_OR_RETURN(const auto drafter, MakeDrafter({.kind = speculation.kind,
                                                       .drafts = speculation.drafts,
                                                       .branches = options.branches,
                                                       .exit_layer = options.exit_layer,
                                                       .draft_model = options.draft_model,
                                                       .tree = speculation.tree,
                                                       .sampling = options.sampling,
                                                       .seed = options.seed,
                                                       .verification = speculation.verification},
                                                      *model, draft_model.get()));
  DecodeOptions decode{.sampling = options.sampling,
                       .seed = options.seed,
                       .max_tokens = options.max_tokens,
                       .verification = speculation.verification,
                       .typical = options.typical};
  ContinueOptions how{.max_tokens = options.max_tokens,
                      .ends = text->rules.ends,
                      .stops = options.stops,
                      .decode = [&](int32_t id) { return text->tokenizer->TokenBytes(id); }};
  std::unique_ptr<Printer> printer;
  if (world.rank() == 0) {
    printer = std::make_unique<Printer>(options);
    how.on_pass = [&](const Continuation& c, absl::Span<const int32_t> added,
                      const std::string& text,
                      const Decoder::Outcome& outcome) { printer->Pass(c, added, text, outcome); };
  }
  const int64_t slots = model->limits().sequences;
  Decoder decoder(*model, drafter.get(), decode);
  const auto texts = ContinueAll(prompts, slots, how, decoder);
  if (!options.report) return absl::OkStatus();

  DecodeReport report{.drafter = speculation.kind,
                      .tree = speculation.tree,
                      .verification = speculation.verification,
                      .stats = decoder.stats(),
                      .calibrated_speedup = speculation.calibrated_speedup,
                      .sequences = static_cast<int64_t>(prompts.size())};
  if (report.speculative()) {
    decode.verification = Verification::kMatch;
    how.on_pass = nullptr;
    Decoder plain(*model, nullptr, decode);
    const auto plain_texts = ContinueAll(prompts, slots, how, plain);
    report.plain = plain.stats();
    for (size_t i = 0; i < texts.size(); ++i)
      report.same_text += texts[i].sequence.tokens == plain_texts[i].sequence.tokens ? 1 : 0;
  }
  if (printer != nullptr) printer->Report(report);
  return absl::OkStatus();
}

}  // namespace tl
