// SPDX-License-Identifier: Apache-2.0
// Denoising score matching (Vincent 2011; Song & Ermon 2019; Song et al. 2021): a model that sees both
// ways, and is told the noise and the class, regresses rows on rows. What is drawn and what its output
// stands for is made on the host: noising.h, preconditioning.h. The loss is the mean square of the
// output F against its target, whatever it predicts; with times = "likelihood" weighted to be that of
// the likelihood.
#pragma once

#include "objective/denoise_settings.h"
#include "objective/descriptor.h"
#include "objective/noising.h"
#include "objective/regression.h"

namespace tl {

class Denoise : public Regression {
 public:
  static ObjectiveDescriptor Descriptor();
  Denoise(const ObjectiveConfig& config, const ObjectiveContext& context);

  void Prepare(BatchUse use, HostBatch* batch) const override { noising_.Apply(use, batch); }
  bool bounds() const override { return true; }

 private:
  Noising noising_;
};

}  // namespace tl
