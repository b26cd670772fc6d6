#include "cli/config_table.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace tl {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr Range kAny = {-kInf, kInf};
constexpr Range kCount = {1, kInf};
constexpr Range kZeroOrMore = {0, kInf};
constexpr Range kPositive = {0, kInf, Range::kAboveLow};
constexpr Range kFraction = {0, 1, Range::kBelowHigh};
constexpr auto kOptional = Presence::kOptional, kRequired = Presence::kRequired;
constexpr auto kPath = StringKind::kPath;

template <typename E>
std::vector<const char*> EnumNames(E last) {
  std::vector<const char*> names;
  for (int i = 0; i <= static_cast<int>(last); ++i) names.push_back(Name(static_cast<E>(i)));
  return names;
}

// Gives the field of a config.
#define TL_FIELD(member) ConfigField(+[](Config& c) -> decltype((c.member)) { return c.member; })

const std::vector<ConfigKey>& Table() {
  static const auto* table = new std::vector<ConfigKey>{
      {"model", "layers", TL_FIELD(model.layers), "transformer blocks", kCount, {}, kRequired},
      {"model",
       "hidden",
       TL_FIELD(model.hidden),
       "width of the residual stream",
       kCount,
       {},
       kRequired},
      {"model", "heads", TL_FIELD(model.heads), "query heads", kCount, {}, kRequired},
      {"model", "kv_heads", TL_FIELD(model.kv_heads),
       "key/value heads (grouped-query attention); 0: as many as heads", kZeroOrMore},
      {"model", "head_dim", TL_FIELD(model.head_dim),
       "size of a head, a multiple of 8 from 32 to 256; 0: hidden / heads", kZeroOrMore},
      {"model", "ffn", TL_FIELD(model.ffn), "inner width of the SwiGLU MLP", kCount, {}, kRequired},
      {"model",
       "vocab",
       TL_FIELD(model.vocab),
       "tokens in the vocabulary; padded where it is split, padding never gets probability",
       kCount,
       {},
       kRequired},
      {"model", "tie_embeddings", TL_FIELD(model.tie_embeddings),
       "use the token embedding as output matrix too"},
      {"model", "rope_theta", TL_FIELD(model.rope_theta),
       "base of the rotary embedding's wavelengths", kPositive},
      {"model", "norm_eps", TL_FIELD(model.norm_eps), "added to the mean square in RMSNorm",
       kPositive},
      {"model", "qkv_bias", TL_FIELD(model.qkv_bias), "biases on q, k and v, as in Qwen2"},
      {"model", "qk_norm", TL_FIELD(model.qk_norm),
       "RMSNorm over each head of q and k, as in Qwen3"},
      {"model", "sliding_window", TL_FIELD(model.sliding_window),
       "keys a query sees, its own included, as in Mistral; 0: all before it", kZeroOrMore},
      {"model", "init_std", TL_FIELD(model.init_std),
       "of initial weights; projections into the residual stream: / sqrt(2 layers)", kZeroOrMore},

      {"model.rope_scaling", "factor", TL_FIELD(model.rope_scaling.factor),
       "stretch of the long wavelengths, as in Llama 3.1; 1: none", kCount},
      {"model.rope_scaling", "low_freq_factor", TL_FIELD(model.rope_scaling.low_freq_factor),
       "wavelengths beyond original_context / this are stretched in full", kPositive},
      {"model.rope_scaling", "high_freq_factor", TL_FIELD(model.rope_scaling.high_freq_factor),
       "wavelengths below original_context / this are kept", kPositive},
      {"model.rope_scaling", "original_context", TL_FIELD(model.rope_scaling.original_context),
       "context the unscaled model was trained on", kCount},

      {"objective",
       "name",
       TL_FIELD(objective.name),
       "what is predicted",
       kAny,
       {"next_token", "independent_heads", "sequential_mtp", "medusa"}},
      {"objective", "heads", TL_FIELD(objective.heads),
       "independent_heads: heads, the main one included; medusa: heads beside the main one",
       kZeroOrMore},
      {"objective", "weights", TL_FIELD(objective.weights),
       "independent_heads: of each head's loss; []: all 1", kPositive},
      {"objective", "match_parameters", TL_FIELD(objective.match_parameters),
       "independent_heads: the heads' blocks are taken from the trunk's [model] layers"},
      {"objective", "curriculum", TL_FIELD(objective.curriculum),
       "independent_heads: forward: heads join one by one; reverse: they leave one by one", kAny,
       EnumNames(Curriculum::kReverse)},
      {"objective", "curriculum_steps", TL_FIELD(objective.curriculum_steps),
       "steps over which they do; 0: all", kZeroOrMore},
      {"objective", "depth", TL_FIELD(objective.depth),
       "sequential_mtp: modules, one further token each", kZeroOrMore},
      {"objective", "share_weights", TL_FIELD(objective.share_weights),
       "sequential_mtp: one module, unrolled"},
      {"objective", "hidden", TL_FIELD(objective.hidden),
       "sequential_mtp: what the first module is fed: the trunk's state after its final norm, or "
       "its residual stream",
       kAny, EnumNames(HiddenTap::kStream)},
      {"objective", "detach_hidden", TL_FIELD(objective.detach_hidden),
       "sequential_mtp: no gradient from the modules into the trunk's state"},
      {"objective", "detach_shared", TL_FIELD(objective.detach_shared),
       "sequential_mtp: no gradient from the modules into the shared embedding and unembedding"},
      {"objective", "lambda", TL_FIELD(objective.lambda),
       "sequential_mtp: weight of the modules' mean loss", kZeroOrMore},
      {"objective", "lambda_late", TL_FIELD(objective.lambda_late),
       "sequential_mtp: the same, late in training", kZeroOrMore},
      {"objective",
       "late_after",
       TL_FIELD(objective.late_after),
       "sequential_mtp: fraction of the steps after which it is late",
       {0, 1}},
      {"objective", "freeze_trunk", TL_FIELD(objective.freeze_trunk),
       "sequential_mtp, medusa (its stage 1): the heads alone are trained, on the trunk of [run] "
       "init_from"},
      {"objective", "residual_layers", TL_FIELD(objective.residual_layers),
       "medusa: residual layers of a head", kCount},
      {"objective", "own_unembedding", TL_FIELD(objective.own_unembedding),
       "medusa: each head has an unembedding of its own, at first a copy of the trunk's"},
      {"objective", "distill", TL_FIELD(objective.distill),
       "medusa: the heads learn the trunk's own distribution of each token, not the text's"},
      {"objective", "head_weight", TL_FIELD(objective.head_weight),
       "medusa, stage 2: weight of the heads' losses beside the main one", kPositive},
      {"objective",
       "decay",
       TL_FIELD(objective.decay),
       "medusa: head k's loss is weighted by decay^k",
       {0, 1, Range::kAboveLow}},
      {"objective", "lr_scale", TL_FIELD(objective.lr_scale),
       "medusa: the heads' learning rate over that of the trunk", kPositive},
      {"objective", "warmup_steps", TL_FIELD(objective.warmup_steps),
       "medusa: steps of linear rise of the heads' weight", kZeroOrMore},

      {"data", "train", TL_FIELD(data.train),
       "token files (trunkline, llm.c or Megatron): a path, a list of paths, or a list of { path = "
       "\"a.tok\", weight = 0.7 }"},
      {"data", "eval", TL_FIELD(data.eval), "the same, held out"},
      {"data", "pack_documents", TL_FIELD(data.pack_documents),
       "keep attention and positions of documents in one sequence apart"},
      {"data", "any_tokenizer", TL_FIELD(data.any_tokenizer),
       "take data whose tokenizer is another than that of the weights it starts from"},

      {"parallel",
       "tensor",
       TL_FIELD(parallel.tensor),
       "ranks that share one copy of the model; the data size is ranks / tensor",
       {1, 1 << 20}},
      {"parallel", "sequence", TL_FIELD(parallel.sequence),
       "split activations between the linears over the tensor ranks"},
      {"parallel", "bucket_elements", TL_FIELD(parallel.bucket_elements),
       "parameters per gradient bucket: one reduce-scatter each", kCount},
      {"parallel",
       "transport",
       TL_FIELD(parallel.transport),
       "between GPUs; auto: nccl, a GPU for each rank; staged: through the host, ranks may share "
       "one",
       kAny,
       {"auto", "nccl", "staged"}},
      {"precision", "compute", TL_FIELD(precision.compute),
       "of weights, activations and gradients; master weights and optimizer state are fp32", kAny,
       EnumNames(Precision::kFp16)},
      {"precision", "loss_scale", TL_FIELD(precision.loss_scale), "fp16: a fixed scale; 0: dynamic",
       kZeroOrMore},
      {"precision", "initial_loss_scale", TL_FIELD(precision.initial_loss_scale),
       "fp16, dynamic: the scale of the first step", kPositive},
      {"precision", "growth_interval", TL_FIELD(precision.growth_interval),
       "fp16, dynamic: steps without overflow before the scale grows", kCount},
      {"precision",
       "growth_factor",
       TL_FIELD(precision.growth_factor),
       "fp16, dynamic: by this",
       {1, kInf, Range::kAboveLow}},
      {"precision",
       "backoff_factor",
       TL_FIELD(precision.backoff_factor),
       "fp16, dynamic: the scale is multiplied by this after overflow",
       {0, 1, Range::kOpen}},
      {"precision", "hysteresis", TL_FIELD(precision.hysteresis),
       "fp16, dynamic: overflows since the scale last grew before it falls", kCount},
      {"precision", "min_loss_scale", TL_FIELD(precision.min_loss_scale),
       "fp16, dynamic: the scale falls no lower", kPositive},

      {"train",
       "steps",
       TL_FIELD(train.steps),
       "optimizer steps of the whole schedule",
       kCount,
       {},
       kRequired},
      {"train",
       "sequence_length",
       TL_FIELD(train.sequence_length),
       "tokens per sequence",
       kCount,
       {},
       kRequired},
      {"train",
       "global_batch_size",
       TL_FIELD(train.global_batch_size),
       "sequences per step, over all data ranks",
       kCount,
       {},
       kRequired},
      {"train",
       "micro_batch_size",
       TL_FIELD(train.micro_batch_size),
       "sequences per forward pass and data rank; the rest is accumulated",
       kCount,
       {},
       kRequired},
      {"train", "seed", TL_FIELD(train.seed), "of initial weights, data order and dropout",
       kZeroOrMore},
      {"train", "eval_every", TL_FIELD(train.eval_every),
       "steps between evaluations; 0: only at the end", kZeroOrMore},
      {"train", "eval_batches", TL_FIELD(train.eval_batches),
       "micro batches per data rank and evaluation; 0: the whole of [data] eval", kZeroOrMore},
      {"train", "recompute", TL_FIELD(train.recompute),
       "activations made again in the backward pass instead of kept", kAny,
       EnumNames(Recompute::kFull)},
      {"train",
       "hidden_dropout",
       TL_FIELD(train.hidden_dropout),
       "part of the embeddings and of what attention and mlp of each block add that is dropped "
       "while "
       "training; nothing of a frozen trunk",
       {0, 0.99}},
      {"train", "z_loss", TL_FIELD(train.z_loss),
       "weight of the squared log-sum-exp in the loss; 0: none", kZeroOrMore},
      {"train", "loss_chunk", TL_FIELD(train.loss_chunk),
       "tokens whose logits exist at once; 0: by vocabulary and device, at least 2048 in 16 bits "
       "on "
       "GPUs",
       kZeroOrMore},

      {"optimizer", "name", TL_FIELD(optimizer.name), "the update rule", kAny, {"adamw"}},
      {"optimizer", "lr", TL_FIELD(optimizer.lr), "peak learning rate", kPositive},
      {"optimizer", "min_lr", TL_FIELD(optimizer.min_lr),
       "learning rate at the end of the schedule", kZeroOrMore},
      {"optimizer", "warmup_steps", TL_FIELD(optimizer.warmup_steps),
       "steps of linear rise from 0 to lr", kZeroOrMore},
      {"optimizer", "schedule", TL_FIELD(optimizer.schedule), "shape of the fall from lr to min_lr",
       kAny, EnumNames(ScheduleKind::kWsd)},
      {"optimizer",
       "decay_fraction",
       TL_FIELD(optimizer.decay_fraction),
       "wsd: the part of the steps that falls, at the end",
       {0, 1}},
      {"optimizer", "weight_decay", TL_FIELD(optimizer.weight_decay),
       "decoupled, times the learning rate; never on biases", kZeroOrMore},
      {"optimizer", "decay_embeddings", TL_FIELD(optimizer.decay_embeddings),
       "decay embeddings too"},
      {"optimizer", "decay_norms", TL_FIELD(optimizer.decay_norms), "decay norms too"},
      {"optimizer", "beta1", TL_FIELD(optimizer.beta1), "decay of the gradient's mean", kFraction},
      {"optimizer", "beta2", TL_FIELD(optimizer.beta2), "decay of the squared gradient's mean",
       kFraction},
      {"optimizer", "eps", TL_FIELD(optimizer.eps), "added to the root of the second moment",
       kPositive},
      {"optimizer", "clip", TL_FIELD(optimizer.clip),
       "largest norm of the whole gradient; 0: no clipping", kZeroOrMore},

      {"checkpoint",
       "dir",
       TL_FIELD(checkpoint.dir),
       "folder for checkpoints; \"\": [run] dir",
       kAny,
       {},
       kOptional,
       kPath},
      {"checkpoint", "every", TL_FIELD(checkpoint.every),
       "steps between checkpoints; 0: only at the end", kZeroOrMore},
      {"checkpoint",
       "keep",
       TL_FIELD(checkpoint.keep),
       "how many of the newest healthy ones stay; 0: all",
       {0, 1 << 30}},
      {"checkpoint", "keep_every", TL_FIELD(checkpoint.keep_every),
       "checkpoints of steps that are multiples stay too; 0: none", kZeroOrMore},
      {"checkpoint", "async", TL_FIELD(checkpoint.async),
       "training goes on while a checkpoint is written, from a copy in host memory"},
      {"checkpoint", "max_failed_saves", TL_FIELD(checkpoint.max_failed_saves),
       "training stops after so many failed saves in a row", kCount},
      {"checkpoint",
       "resume",
       TL_FIELD(checkpoint.resume),
       "auto: go on from the newest healthy checkpoint in dir that verifies, where there is one; "
       "never; or the path of a checkpoint, healthy or not, or of a folder of them",
       kAny,
       {},
       kOptional,
       kPath},
      {"checkpoint", "time_limit", TL_FIELD(checkpoint.time_limit),
       "from the program's start: save in time and end with exit code 85; 0s: none"},

      {"run",
       "dir",
       TL_FIELD(run.dir),
       "folder for metrics, the resolved config and checkpoints; \"\": checkpoints/ and the config "
       "file's name",
       kAny,
       {},
       kOptional,
       kPath},
      {"run",
       "device",
       TL_FIELD(run.device),
       "where to compute; auto: GPUs where this build and the machine have them",
       kAny,
       {"auto", "cpu", "cuda"}},
      {"run", "deterministic", TL_FIELD(run.deterministic),
       "GPUs: pin what may change from run to run, NCCL's algorithm and protocol"},
      {"run",
       "threads",
       TL_FIELD(run.threads),
       "per rank; 0: OMP_NUM_THREADS, else its share of the host's cores",
       {0, 1024}},
      {"run", "stop_after", TL_FIELD(run.stop_after),
       "stop after this step, the schedule unchanged; 0: at the last", kZeroOrMore},
      {"run",
       "init_from",
       TL_FIELD(run.init_from),
       "run folder to take weights from; optimizer and data start fresh",
       kAny,
       {},
       kOptional,
       kPath},
      {"run", "log_every", TL_FIELD(run.log_every), "steps between progress lines", kCount},
      {"run",
       "watchdog_seconds",
       TL_FIELD(run.watchdog_seconds),
       "end the job when a rank waits so long for others, or hangs; 0: wait for ever",
       {0, 1 << 30}},
  };
  return *table;
}

#undef TL_FIELD

struct Section {
  const char* name;
  const char* doc;
};
constexpr Section kSections[] = {
    {"model", "the trunk: a Llama-style transformer"},
    {"model.rope_scaling", "rotary embedding stretched to longer contexts"},
    {"objective", "what is trained on top of the trunk"},
    {"data", "token files, made by `trunkline tokenize`"},
    {"parallel", "the grid of ranks"},
    {"precision", "number formats and loss scaling"},
    {"train", "length, batches and memory"},
    {"optimizer", "the update and its learning rate"},
    {"checkpoint", "what is saved, and resumed from"},
    {"run", "folder and device"},
};

std::string Text(bool value) { return value ? "true" : "false"; }
std::string Text(int64_t value) { return absl::StrCat(value); }
std::string Text(int value) { return absl::StrCat(value); }
std::string Text(const std::string& value) { return QuoteToml(value); }
std::string Text(Duration value) { return QuoteToml(ToString(value)); }
std::string Text(Precision value) { return QuoteToml(Name(value)); }
std::string Text(Recompute value) { return QuoteToml(Name(value)); }
std::string Text(ScheduleKind value) { return QuoteToml(Name(value)); }
std::string Text(Curriculum value) { return QuoteToml(Name(value)); }
std::string Text(HiddenTap value) { return QuoteToml(Name(value)); }

// The shortest digits that give the same number back.
std::string Text(double value) {
  char buffer[64];
  const auto end = std::to_chars(buffer, buffer + sizeof(buffer), value).ptr;
  std::string text(buffer, end);
  if (text.find_first_of(".en") == std::string::npos) text += ".0";
  return text;
}

std::string Text(const std::vector<double>& numbers) {
  return absl::StrCat(
      "[", absl::StrJoin(numbers, ", ", [](std::string* out, double x) { *out += Text(x); }), "]");
}

std::string Text(const std::vector<WeightedPath>& paths) {
  const bool weighted =
      std::any_of(paths.begin(), paths.end(), [](const auto& p) { return p.weight != 1.0; });
  return absl::StrCat("[",
                      absl::StrJoin(paths, ", ",
                                    [&](std::string* out, const auto& p) {
                                      if (!weighted) {
                                        *out += QuoteToml(p.path);
                                      } else {
                                        absl::StrAppend(out, "{ path = ", QuoteToml(p.path),
                                                        ", weight = ", Text(p.weight), " }");
                                      }
                                    }),
                      "]");
}

std::string OneOf(const std::vector<const char*>& choices) {
  return absl::StrCat("one of ", absl::StrJoin(choices, ", ", [](std::string* out, const char* c) {
                        *out += QuoteToml(c);
                      }));
}

struct TypeText {
  const ConfigKey& key;
  std::string operator()(bool& (*)(Config&)) const { return "true or false"; }
  std::string operator()(int& (*)(Config&)) const { return "integer, " + key.range.ToString(); }
  std::string operator()(int64_t& (*)(Config&)) const { return "integer, " + key.range.ToString(); }
  std::string operator()(double& (*)(Config&)) const { return "number, " + key.range.ToString(); }
  std::string operator()(std::string& (*)(Config&)) const {
    return key.choices.empty() ? "string" : OneOf(key.choices);
  }
  std::string operator()(Duration& (*)(Config&)) const {
    return "duration such as \"3h50m\", \"90s\" or seconds";
  }
  std::string operator()(std::vector<WeightedPath>& (*)(Config&)) const { return "paths"; }
  std::string operator()(std::vector<double>& (*)(Config&)) const {
    return "list of numbers, each " + key.range.ToString();
  }
  template <typename E>
  std::string operator()(E& (*)(Config&)) const {
    return OneOf(key.choices);
  }
};

}  // namespace

bool Range::Contains(double x) const {
  if (!std::isfinite(x)) return false;
  const bool low_ok = ends == kAboveLow || ends == kOpen ? x > low : x >= low;
  const bool high_ok = ends == kBelowHigh || ends == kOpen ? x < high : x <= high;
  return low_ok && high_ok;
}

std::string Range::ToString() const {
  const bool above = ends == kAboveLow || ends == kOpen;
  const bool below = ends == kBelowHigh || ends == kOpen;
  if (high == kInf) return absl::StrCat(above ? "above " : "at least ", low);
  return absl::StrCat(above ? "above " : "from ", low, below ? " to below " : " to ", high);
}

std::string ConfigKey::full_name() const { return absl::StrCat(section, ".", name); }

bool ConfigKey::is_text() const {
  return !std::holds_alternative<bool& (*)(Config&)>(field) &&
         !std::holds_alternative<int& (*)(Config&)>(field) &&
         !std::holds_alternative<int64_t& (*)(Config&)>(field) &&
         !std::holds_alternative<double& (*)(Config&)>(field) &&
         !std::holds_alternative<std::vector<double>& (*)(Config&)>(field);
}

std::string ConfigKey::type() const { return std::visit(TypeText{*this}, field); }

absl::Span<const ConfigKey> ConfigKeys() { return Table(); }

const char* SectionDoc(const std::string& section) {
  for (const Section& s : kSections) {
    if (section == s.name) return s.doc;
  }
  return nullptr;
}

std::string QuoteToml(const std::string& s) {
  std::string out = "\"";
  for (const char ch : s) {
    const auto byte = static_cast<unsigned char>(ch);
    if (ch == '"' || ch == '\\') {
      out += '\\';
      out += ch;
    } else if (byte < 0x20 || byte == 0x7f) {
      absl::StrAppend(&out, "\\u", absl::Hex(byte, absl::kZeroPad4));
    } else {
      out += ch;
    }
  }
  return out + '"';
}

std::string ValueText(const ConfigKey& key, const Config& config) {
  return std::visit([&](auto field) { return Text(field(const_cast<Config&>(config))); },
                    key.field);
}

}  // namespace tl
