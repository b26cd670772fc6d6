// SPDX-License-Identifier: Apache-2.0
#include "nn/conditioner.h"

#include "kernels/elementwise.h"
#include "kernels/embedding.h"
#include "kernels/matmul.h"
#include "kernels/residual_silu.h"
#include "nn/batch.h"

namespace tl {
namespace {

constexpr int64_t kBlockParts = 6, kFinalParts = 2;

}  // namespace

Conditioner::Conditioner(const ConditionerConfig& config, Geometry geometry)
    : config_(config),
      geometry_(geometry),
      columns_(config.hidden / geometry.tensor_size),
      layers_(config.layers + 1) {
  TL_CHECK_EQ(config.hidden % geometry.tensor_size, 0);
  int64_t offset = 0;
  for (Layer& layer : layers_) {
    layer.parts = &layer == &layers_.back() ? kFinalParts : kBlockParts;
    layer.offset = offset;
    offset += geometry.batch * layer.parts * config.hidden;
  }
}

void Conditioner::Declare(Plan& plan) {
  const Geometry& g = geometry_;
  const int64_t hidden = config_.hidden;
  const auto linear = [&](Linear& layer, const std::string& name, int64_t in, int split,
                          bool gradient) {
    layer.Declare(
        plan,
        {.name = name + ".weight",
         .parts = {{.name = name + ".weight", .shape = {hidden, in}, .split_axis = split}},
         .init_std = config_.init_std},
        {.name = name + ".bias",
         .parts = {{.name = name + ".bias", .shape = {hidden}, .split_axis = split}},
         .init = InitKind::kZeros,
         .kind = ParamKind::kBias},
        {.rows_per_token = RowsPerToken(), .gradient = gradient});
  };
  const Layer& last = layers_.back();
  modulation_ = plan.Slot("modulation", {last.offset + g.batch * last.parts * hidden}, DType::kF32,
                          Life::kSaved);
  const bool learns = plan.learns();
  if (learns) d_s_ = plan.Slot("d_condition", {g.batch, columns_}, DType::kF32, Life::kBackward);
  linear(in_linear_, "time.in", kFeatures, -1, /*gradient=*/false);
  in_ = plan.Slot("time.in", {g.batch, hidden}, g.compute, Life::kSaved);
  e_ = plan.Slot("time.e", {g.batch, hidden}, g.compute, Life::kSaved);
  linear(out_linear_, "time.out", hidden, 0, /*gradient=*/true);
  const Shape shape = {g.batch, columns_};
  c_ = plan.Slot("condition.c", shape, g.compute, Life::kSaved);
  s_ = plan.Slot("condition.s", shape, g.compute, Life::kSaved);
  const auto scope = plan.Enter();
  if (learns) {
    d_c_ = plan.Slot("d_condition.c", shape, g.compute, Life::kBackward);
    d_e_ = plan.Slot("d_time.e", {g.batch, hidden}, DType::kF32, Life::kBackward);
    d_in_ = plan.Slot("d_time.in", {g.batch, hidden}, g.compute, Life::kBackward);
  }
  if (config_.classes == 0) return;
  const int64_t rows = config_.classes + 1;
  labels_ =
      plan.Param({.name = "labels.weight",
                  .parts = {{.name = "labels.weight", .shape = {rows, hidden}, .split_axis = 1}},
                  .init_std = config_.init_std,
                  .kind = ParamKind::kEmbedding});
  label_rows_ = plan.Slot("label_rows", shape, g.compute, Life::kForward);
  plan.Scratch(Plan::When::kBackward,
               [batch = g.batch, rows] { return EmbeddingBackwardScratch(batch, rows); });
}

double Conditioner::RowsPerToken() const {
  return 1.0 / static_cast<double>(geometry_.sequence_length);
}

void Conditioner::DeclareLayer(Plan& plan, const std::string& name, Layer* layer) {
  const Geometry& g = geometry_;
  const int64_t width = layer->parts * config_.hidden;
  layer->weight = plan.Param(
      {.name = name + ".weight",
       .parts = {{.name = name + ".weight", .shape = {width, config_.hidden}, .split_axis = 1}},
       .init = InitKind::kZeros});
  plan.WeightProduct(layer->weight, Plan::Use::kTrain, {.rows_per_token = RowsPerToken()});
  if (!plan.learns()) return;
  layer->d = plan.Slot("d_" + name, {g.batch, width}, DType::kF32, Life::kBackward);
  if (g.compute != DType::kF32)
    layer->d_rounded = plan.Slot("d_" + name, {g.batch, width}, g.compute, Life::kBackward);
}

void Conditioner::DeclareBlock(Plan& plan, int64_t i) {
  DeclareLayer(plan, "layers." + std::to_string(i) + ".modulation", &layers_[i]);
}

void Conditioner::EndBlock(Plan& plan, int64_t i) {
  if (layers_[i].d >= 0) plan.End(layers_[i].d);
  if (layers_[i].d_rounded >= 0) plan.End(layers_[i].d_rounded);
}

void Conditioner::DeclareFinal(Plan& plan) {
  DeclareLayer(plan, "final_modulation", &layers_.back());
}

void Conditioner::Forward(Step& step) {
  const Tensor in = step.Slot(in_), e = step.Slot(e_), c = step.Slot(c_), s = step.Slot(s_);
  in_linear_.Forward(step, in, step.inputs().features);
  ResidualSilu(step.stream(), {.y = e, .a = in});
  out_linear_.Forward(step, c, e);
  if (labels_ >= 0) {
    const Tensor rows = step.Slot(label_rows_);
    Embedding(step.stream(),
              {.y = rows, .tokens = step.inputs().labels, .table = step.Weight(labels_)});
    Add(step.stream(), {.out = c, .a = c, .b = rows});
  }
  ResidualSilu(step.stream(), {.y = s, .a = c});
  for (const Layer& layer : layers_) {
    Matmul(
        step.stream(),
        {.c = Of(step, layer), .a = s, .b = step.Weight(layer.weight), .trans_b = Transpose::kYes});
    step.Progress();
  }
  if (geometry_.tensor_size > 1)
    step.tensor_group().AllReduce(step.stream(), step.Slot(modulation_));
}

Tensor Conditioner::Of(Step& step, const Layer& layer) const {
  const int64_t width = layer.parts * config_.hidden, size = geometry_.batch * width;
  return step.Slot(modulation_)
      .Slice(0, layer.offset, layer.offset + size)
      .Reshape({geometry_.batch, width});
}

Modulation Conditioner::NormOf(Tensor layer, int64_t part) const {
  return {.shift = Part(layer, part), .scale = Part(layer, part + 1)};
}

Tensor Conditioner::Part(Tensor layer, int64_t part) const {
  return layer.Slice(1, part * config_.hidden, (part + 1) * config_.hidden);
}

BlockModulation Conditioner::BlockOf(Tensor layer) const {
  BlockModulation block = {.attention = NormOf(layer, 0), .mlp = NormOf(layer, 3)};
  block.attention.gate = Part(layer, 2);
  block.mlp.gate = Part(layer, 5);
  return block;
}

BlockModulation Conditioner::block(Step& step, int64_t i) const {
  return BlockOf(Of(step, layers_[i]));
}

Modulation Conditioner::final_norm(Step& step) const { return NormOf(Of(step, layers_.back()), 0); }

BlockModulation Conditioner::d_block(Step& step, int64_t i) const {
  return step.learns() ? BlockOf(step.Slot(layers_[i].d)) : BlockModulation{};
}

Modulation Conditioner::d_final_norm(Step& step) const {
  return step.learns() ? NormOf(step.Slot(layers_.back().d), 0) : Modulation{};
}

void Conditioner::BackwardFinal(Step& step) { BackwardLayer(step, layers_.back(), /*first=*/true); }

void Conditioner::BackwardBlock(Step& step, int64_t i) {
  BackwardLayer(step, layers_[i], /*first=*/false);
}

void Conditioner::BackwardLayer(Step& step, const Layer& layer, bool first) {
  if (!step.learns()) return;
  Tensor d = step.Slot(layer.d);
  if (geometry_.split_rows()) step.tensor_group().AllReduce(step.stream(), d);
  if (layer.d_rounded >= 0) {
    const Tensor rounded = step.Slot(layer.d_rounded);
    Convert(step.stream(), {.dst = rounded, .src = d});
    d = rounded;
  }
  const auto [d_weight, accumulate] = step.Grad(layer.weight);
  Matmul(step.stream(), {.c = d_weight,
                         .a = d,
                         .b = step.Slot(s_),
                         .trans_a = Transpose::kYes,
                         .beta = accumulate ? 1.0f : 0.0f});
  step.GradDone(layer.weight);
  Matmul(
      step.stream(),
      {.c = step.Slot(d_s_), .a = d, .b = step.Weight(layer.weight), .beta = first ? 0.0f : 1.0f});
}

void Conditioner::Backward(Step& step) {
  if (!step.learns()) return;
  Stream& stream = step.stream();
  const Tensor d_c = step.Slot(d_c_), d_e = step.Slot(d_e_), d_in = step.Slot(d_in_);
  Convert(stream, {.dst = d_c, .src = step.Slot(d_s_)});
  ResidualSiluBackward(stream, {.d_a = d_c, .dy = d_c, .a = step.Slot(c_)});
  if (labels_ >= 0) {
    const auto [d_labels, accumulate] = step.Grad(labels_);
    if (!accumulate) ZeroBytes(stream, d_labels.data, d_labels.bytes());
    EmbeddingBackward(stream, {.d_table = d_labels, .tokens = step.inputs().labels, .dy = d_c});
    step.GradDone(labels_);
  }
  out_linear_.Backward(step, d_e, d_c, step.Slot(e_));
  if (geometry_.tensor_size > 1) step.tensor_group().AllReduce(stream, d_e);
  Convert(stream, {.dst = d_in, .src = d_e});
  ResidualSiluBackward(stream, {.d_a = d_in, .dy = d_in, .a = step.Slot(in_)});
  in_linear_.Backward(step, {}, d_in, step.inputs().features);
}

}  // namespace tl
