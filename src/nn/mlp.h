// The SwiGLU feed-forward layer: y = (silu(x G^T) * x U^T) D^T, its inner width divided over the
// tensor group.
#pragma once

#include <string>

#include "nn/geometry.h"
#include "nn/linear.h"

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
  SlotId x_full_ = -1, y_full_ = -1;
  SlotId x_full_backward_ = -1, dy_full_ = -1, dx_full_ = -1;
};

}  // namespace tl
