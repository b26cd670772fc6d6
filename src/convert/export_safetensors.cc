// SPDX-License-Identifier: Apache-2.0
// A denoiser for PyTorch: weights under their own names, and the module that reads them
// (denoiser.py).
#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/json.h"
#include "base/status.h"
#include "convert/denoiser_py.h"
#include "convert/export.h"
#include "convert/shards.h"
#include "objective/denoise_settings.h"
#include "objective/descriptor.h"

namespace tl {
namespace {

using OrderedJson = nlohmann::ordered_json;

OrderedJson ModelJson(const ExportJob& job) {
  const ModelConfig& m = job.config.model;
  return {{"layers", m.layers},
          {"hidden", m.hidden},
          {"heads", m.heads},
          {"kv_heads", m.kv_heads_or_default()},
          {"head_dim", m.head_dim_or_default()},
          {"ffn", m.ffn},
          {"shape", m.shape},
          {"patch", m.patch},
          {"classes", m.classes},
          {"features", job.source->Find("time.in.weight")->shape[1]},
          {"qkv_bias", m.qkv_bias},
          {"qk_norm", m.qk_norm},
          {"rope_theta", m.rope_theta},
          {"norm_eps", m.norm_eps}};
}

// The numbers that the process reads, the resolved ones.
OrderedJson ProcessJson(const Process& process) {
  const ProcessOptions& o = process.options();
  OrderedJson json = {{"name", process.kind().name}, {"sigma_data", o.sigma_data}};
  for (const std::string key : process.kind().keys) {
    if (key == "sigma_min") json[key] = o.sigma_min;
    if (key == "sigma_max") json[key] = o.sigma_max;
    if (key == "beta_min") json[key] = o.beta_min;
    if (key == "beta_max") json[key] = o.beta_max;
  }
  const TimeRange& times = process.times();
  json["times"] = {{"low", times.low}, {"sample", times.sample}, {"high", times.high}};
  json["noise"] = {{"min", process.noise_min()}, {"max", process.noise_max()}};
  return json;
}

std::string DenoiserConfig(const ExportJob& job) {
  const auto settings = SettingsOf<DenoiseSettings>(job.config.objective);
  const Diffusion diffusion = settings.diffusion();
  const OrderedJson root = {
      {"model_type", "trunkline_denoiser"},
      {"model", ModelJson(job)},
      {"process", ProcessJson(diffusion.process)},
      {"prediction", Name(diffusion.prediction)},
      {"frame", "D(x_hat; noise) = skip x_hat + out F(in x_hat; level), x_hat = x_t / alpha"},
      {"label_drop", settings.label_drop},
      {"knows_no_label", diffusion.knows_no_label},
      // Where data were bytes: byte v is the middle of cell v of 256 even ones.
      {"data", {{"range", {-1.0, 1.0}}, {"cells", 256}}},
      {"weights", job.source->averaged() ? "ema" : "trained"},
      {"dtype", Name(job.dtype)}};
  return root.dump(2) + "\n";
}

std::string Readme(const ExportJob& job) {
  const ModelConfig& m = job.config.model;
  const bool guides = SettingsOf<DenoiseSettings>(job.config.objective).diffusion().knows_no_label;
  std::string text = absl::StrCat(
      "# ", job.name, "\n\nA denoiser of samples of ", absl::StrJoin(m.shape, " x "),
      m.classes > 0 ? absl::StrCat(" in ", m.classes, " classes") : "",
      ", trained by Trunkline.\n"
      "`config.json` describes network, process and data, `model.safetensors` has the weights.\n"
      "`denoiser.py` needs PyTorch 2.4 or later, and nothing else.\n\n"
      "```python\n"
      "import torch\n"
      "from denoiser import Denoiser\n\n"
      "model = Denoiser.load(\".\")  # this folder; .to(\"cuda\") as any module\n"
      "x = model.sample(16, steps=18, generator=torch.Generator().manual_seed(1))\n");
  if (guides) {
    absl::StrAppend(&text, "x = model.sample(4, labels=[", m.classes - 1,
                    "] * 4, guidance=1.5)  # of one class\n");
  }
  absl::StrAppend(
      &text,
      "pictures = model.to_bytes(x)  # where the data were bytes; others are as they were\n"
      "x_hat = x + 0.5 * torch.randn_like(x)\n"
      "clean = model.denoise(x_hat, 0.5",
      m.classes > 0 ? ", labels=torch.arange(len(x)) % " : "",
      m.classes > 0 ? absl::StrCat(m.classes) : "",
      ")  # E[x_0 | x_hat = x_0 + 0.5 z]\n"
      "```\n\n"
      "Samples are drawn by Heun's method along the probability-flow ODE; any other sampler can "
      "be\n"
      "built on `denoise`, and `model(x, level, labels)` is the network alone.\n");
  return text;
}

}  // namespace

absl::StatusOr<std::vector<TensorPlacement>> WriteDenoiser(const ExportJob& job,
                                                           const OutputFolder& out) {
  if (job.leave != Leave::kNothing) {
    return absl::InvalidArgumentError(
        "--trunk-only leaves heads out, and format safetensors is of denoisers, which have none");
  }
  std::vector<TensorPlacement> placements;
  for (const SourceTensor& tensor : job.source->tensors()) {
    placements.push_back(
        {.source = tensor.name, .target = tensor.name, .shape = tensor.shape, .dtype = job.dtype});
  }
  constexpr int64_t kOneFile = std::numeric_limits<int64_t>::max();  // which denoiser.py reads
  TL_RETURN_IF_ERROR(WriteShards(*job.source, out, "model", kOneFile, placements));
  TL_RETURN_IF_ERROR(out.WriteText("config.json", DenoiserConfig(job)));
  TL_RETURN_IF_ERROR(out.WriteText("denoiser.py", kDenoiserPy));
  TL_RETURN_IF_ERROR(out.WriteText("README.md", Readme(job)));
  return placements;
}

}  // namespace tl
