// SPDX-License-Identifier: Apache-2.0
#include "objective/denoise.h"

namespace tl {
namespace {

NoisingOptions Options(const DenoiseSettings& settings, const ObjectiveContext& context) {
  return {.process = settings.MakeProcess(),
          .prediction = settings.prediction(),
          .times = settings.training_times(),
          .classes = context.classes,
          .label_drop = settings.label_drop,
          .seed = context.dropout.seed};
}

}  // namespace

ObjectiveDescriptor Denoise::Descriptor() {
  return {.name = "denoise",
          .keys = DenoiseSettings::Keys().rows(),
          .of_values = true,
          .validate = ValidateDenoise,
          .diffusion =
              [](const ObjectiveConfig& o) { return SettingsOf<DenoiseSettings>(o).diffusion(); },
          .make = Make<Denoise>};
}

Denoise::Denoise(const ObjectiveConfig& config, const ObjectiveContext& context)
    : Regression(context, "denoise"),
      noising_(Options(SettingsOf<DenoiseSettings>(config), context)) {}

}  // namespace tl
