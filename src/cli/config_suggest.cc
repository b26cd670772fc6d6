#include "cli/config_suggest.h"

#include <algorithm>
#include <vector>

#include "cli/config_table.h"

namespace tl {
namespace {

struct Alias {
  const char* foreign;
  const char* ours;
};
// Names from Megatron-LM, the Hub's config.json and nanoGPT.
constexpr Alias kAliases[] = {
    {"tensor_model_parallel_size", "parallel.tensor"},
    {"tensor_parallel_degree", "parallel.tensor"},
    {"sequence_parallel", "parallel.sequence"},
    {"num_layers", "model.layers"},
    {"n_layer", "model.layers"},
    {"num_hidden_layers", "model.layers"},
    {"hidden_size", "model.hidden"},
    {"n_embd", "model.hidden"},
    {"num_attention_heads", "model.heads"},
    {"n_head", "model.heads"},
    {"num_query_groups", "model.kv_heads"},
    {"num_key_value_heads", "model.kv_heads"},
    {"kv_channels", "model.head_dim"},
    {"ffn_hidden_size", "model.ffn"},
    {"intermediate_size", "model.ffn"},
    {"vocab_size", "model.vocab"},
    {"padded_vocab_size", "model.vocab"},
    {"tie_word_embeddings", "model.tie_embeddings"},
    {"rotary_base", "model.rope_theta"},
    {"rms_norm_eps", "model.norm_eps"},
    {"norm_epsilon", "model.norm_eps"},
    {"init_method_std", "model.init_std"},
    {"initializer_range", "model.init_std"},
    {"data_path", "data.train"},
    {"train_data_path", "data.train"},
    {"valid_data_path", "data.eval"},
    {"seq_length", "train.sequence_length"},
    {"seq_len", "train.sequence_length"},
    {"block_size", "train.sequence_length"},
    {"train_iters", "train.steps"},
    {"max_iters", "train.steps"},
    {"max_steps", "train.steps"},
    {"batch_size", "train.micro_batch_size"},
    {"eval_interval", "train.eval_every"},
    {"eval_iters", "train.eval_batches"},
    {"dtype", "precision.compute"},
    {"learning_rate", "optimizer.lr"},
    {"lr_decay_style", "optimizer.schedule"},
    {"lr_warmup_iters", "optimizer.warmup_steps"},
    {"warmup_iters", "optimizer.warmup_steps"},
    {"clip_grad", "optimizer.clip"},
    {"grad_clip", "optimizer.clip"},
    {"adam_beta1", "optimizer.beta1"},
    {"adam_beta2", "optimizer.beta2"},
    {"adam_eps", "optimizer.eps"},
    {"save", "checkpoint.dir"},
    {"save_interval", "checkpoint.every"},
    {"save_every", "checkpoint.every"},
    {"resume", "checkpoint.resume"},
    {"log_interval", "run.log_every"},
    {"load", "run.init_from"},
};

const char* KnownAs(const std::string& foreign_name) {
  for (const Alias& alias : kAliases) {
    if (foreign_name == alias.foreign) return alias.ours;
  }
  return nullptr;
}

}  // namespace

int EditDistance(const std::string& a, const std::string& b) {
  const size_t n = a.size(), m = b.size();
  std::vector<std::vector<int>> d(n + 1, std::vector<int>(m + 1));
  for (size_t i = 0; i <= n; ++i) d[i][0] = static_cast<int>(i);
  for (size_t j = 0; j <= m; ++j) d[0][j] = static_cast<int>(j);
  for (size_t i = 1; i <= n; ++i) {
    for (size_t j = 1; j <= m; ++j) {
      const int replace = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, replace});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
      }
    }
  }
  return d[n][m];
}

std::string NearestKey(const std::string& section, const std::string& name) {
  if (const char* ours = KnownAs(name)) return ours;
  // A key of the same section wins over an equally near one of another.
  std::string nearest;
  int best = 1 << 20;
  for (const ConfigKey& key : ConfigKeys()) {
    const int distance = 4 * EditDistance(name, key.name) + (section == key.section ? 0 : 3);
    if (distance < best) {
      best = distance;
      nearest = key.full_name();
    }
  }
  return nearest;
}

std::string NearestSection(const std::string& section) {
  std::string nearest;
  int best = 1 << 20;
  for (const ConfigKey& key : ConfigKeys()) {
    const int distance = EditDistance(section, key.section);
    if (distance < best) {
      best = distance;
      nearest = key.section;
    }
  }
  return nearest;
}

}  // namespace tl
