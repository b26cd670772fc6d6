// SPDX-License-Identifier: Apache-2.0
// The SwiGLU feed-forward layer: y = (silu(x G^T) * x U^T) D^T, its inner width divided over the
// tensor group.
#pragma once

#include <string>

#include "nn/linear.h"
#include "nn/whole_rows.h"

namespace tl {

struct MlpConfig {
  std::string name;  // "layers.0.mlp"
  int64_t hidden = 0;
  int64_t ffn = 0;
  double init_std = 0.02;
  double out_init_std = 0.02;
  bool recompute_activation = false;  // silu(g) * u is made again in the backward pass
};

class Mlp {
 public:
  Mlp(MlpConfig config, Geometry geometry) : config_(std::move(config)), geometry_(geometry) {}
  void Declare(Plan& plan);
  void Forward(Step& step, Tensor y, Tensor x);
  // dx may be dy.
  void Backward(Step& step, Tensor dx, Tensor dy, Tensor x);

 private:
  MlpConfig config_;
  Geometry geometry_;
  Linear gate_up_linear_, down_linear_;
  SlotId gate_up_ = -1, act_ = -1, act_again_ = -1, d_act_ = -1;
  WholeRows x_full_, y_full_, x_full_backward_, dy_full_, dx_full_;
};

}  // namespace tl
