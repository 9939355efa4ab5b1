#include "core/model/detail/block.h"

#include <cmath>
#include <utility>

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/clamp.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/expm1.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/minimum.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/nonzero.h>
#include <ATen/ops/outer.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/rms_norm.h>
#include <ATen/ops/rsqrt.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/softplus.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tanh.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/topk.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/InferenceMode.h>

#include "core/model/detail/row_kernels.h"

namespace headscope {
namespace {

at::Tensor xielu(const Weights& weights, const plan::Mlp& mlp, const at::Tensor& x) {
  const at::Tensor beta = weights[mlp.beta];
  const at::Tensor alphaP = at::softplus(weights[mlp.alphaP]);
  const at::Tensor alphaN = beta + at::softplus(weights[mlp.alphaN]);
  const at::Tensor positive = alphaP * x * x + beta * x;
  const at::Tensor negative = (at::expm1(at::minimum(x, weights[mlp.eps])) - x) * alphaN + beta * x;
  return at::where(x > 0, positive, negative);
}

// May overwrite x.
at::Tensor activate(const Weights& weights, const plan::Mlp& mlp, at::Tensor x) {
  switch (mlp.activation) {
    case plan::Activation::Silu:
      return c10::InferenceMode::is_enabled() ? at::silu_(x) : at::silu(x);
    case plan::Activation::Gelu:
      return at::gelu(x);
    case plan::Activation::GeluTanh:
      return at::gelu(x, "tanh");
    case plan::Activation::Relu:
      return at::relu(x);
    case plan::Activation::ReluSquared:
      return at::relu(x).square();
    case plan::Activation::XIelu:
      return xielu(weights, mlp, x);
    case plan::Activation::ClampedSwiglu: {
      const at::Tensor gate = x.clamp_max(mlp.swigluLimit);
      return gate * at::sigmoid(mlp.swigluAlpha * gate);
    }
  }
  return x;
}

// Weights [tokens, chosen] and expert indices of the same shape.
struct Choice {
  at::Tensor weights, experts;
};

// GLM-4.5: only experts of the best groups may be chosen; a group's score is the sum of its two best.
at::Tensor withinBestGroups(const plan::Experts& experts, const at::Tensor& scores) {
  if (experts.groups <= 1) {
    return scores;
  }
  const at::Tensor grouped = scores.view({scores.size(0), experts.groups, -1});
  const at::Tensor groupScores = std::get<0>(grouped.topk(2, -1)).sum(-1);
  const at::Tensor best = std::get<1>(groupScores.topk(experts.chosenGroups, -1));
  const at::Tensor kept = at::zeros_like(groupScores).scatter(1, best, 1.0);
  return grouped.masked_fill(kept.unsqueeze(-1) == 0, 0.0).view_as(scores);
}

Choice choose(const Weights& weights, const plan::Experts& experts, const at::Tensor& logits) {
  Choice choice;
  if (experts.routing == plan::Routing::SoftmaxOverChosen) {
    std::tie(choice.weights, choice.experts) = logits.topk(experts.chosen, -1);
    choice.weights = at::softmax(choice.weights, -1);
  } else if (experts.routing == plan::Routing::Sigmoid) {
    const at::Tensor scores = at::sigmoid(logits);
    const at::Tensor& correction = weights[experts.correction];
    const at::Tensor corrected = correction.defined() ? scores + correction : scores;
    choice.experts = std::get<1>(withinBestGroups(experts, corrected).topk(experts.chosen, -1));
    choice.weights = scores.gather(1, choice.experts);
  } else {
    std::tie(choice.weights, choice.experts) = at::softmax(logits, -1).topk(experts.chosen, -1);
  }
  if (experts.renormalise) {
    choice.weights = choice.weights / (choice.weights.sum(-1, true) + experts.renormaliseEps);
  }
  choice.weights = choice.weights * experts.weightScale;
  if (experts.expertScale) {
    choice.weights =
        choice.weights * weights[experts.expertScale].index_select(0, choice.experts.flatten()).view_as(choice.weights);
  }
  return choice;
}

at::Tensor routerLogits(const Weights& weights, const plan::Experts& experts, const at::Tensor& x,
                        const at::Tensor& raw) {
  at::Tensor input = x;
  if (experts.routerNorm) {
    input = applyNorm(weights, experts.routerNorm, raw) * weights[experts.routerScale] * experts.routerFactor;
  }
  return applyLinear(weights, experts.router, input).to(at::kFloat);
}

at::Tensor mlpBranch(const Weights& weights, const plan::Layer& layer, const at::Tensor& x) {
  const plan::Norm& in = layer.parallel && !layer.mlpIn ? layer.attentionIn : layer.mlpIn;
  const at::Tensor normed = applyNorm(weights, in, x);
  at::Tensor y;
  if (layer.mlp) {
    y = applyMlp(weights, layer.mlp, normed);
    if (layer.denseOut) {
      y = applyNorm(weights, layer.denseOut, y);
    }
  }
  if (layer.experts) {
    const at::Tensor input = layer.experts.in ? applyNorm(weights, layer.experts.in, x) : normed;
    at::Tensor mixed =
        applyExperts(weights, layer.experts, input.reshape({-1, input.size(-1)}), x.reshape({-1, x.size(-1)}))
            .view_as(input);
    mixed = applyNorm(weights, layer.experts.out, mixed);
    y = y.defined() ? y + mixed : mixed;
  }
  return applyNorm(weights, layer.mlpOut, y);
}

// In place where no autograd looks on.
at::Tensor addScaled(const at::Tensor& x, const at::Tensor& branch, double scale) {
  return c10::InferenceMode::is_enabled() ? x.add_(branch, scale) : x.add(branch, scale);
}

at::Tensor times(const at::Tensor& x, const at::Tensor& factor) {
  return c10::InferenceMode::is_enabled() && x.scalar_type() == factor.scalar_type() ? x.mul_(factor) : x * factor;
}

// Two passes over each half, straight into `target`, instead of the six of rotate(): for GPUs.
void rotateInto(const RotaryTable& table, const at::Tensor& x, const at::Tensor& target) {
  const bool half = table.pairing == RopePairing::Half;
  const auto dims = [&](const at::Tensor& t, std::int64_t which) {
    return half ? t.narrow(-1, which * table.dims / 2, table.dims / 2) : t.slice(-1, which, table.dims, 2);
  };
  const at::Tensor c = table.cos.unsqueeze(1).to(x.scalar_type());
  const at::Tensor s = table.sin.unsqueeze(1).to(x.scalar_type());
  const at::Tensor a = dims(x, 0), b = dims(x, 1);
  at::Tensor first = dims(target, 0), second = dims(target, 1);
  at::mul_out(first, a, c);
  first.addcmul_(b, s, -1);
  at::mul_out(second, b, c);
  second.addcmul_(a, s);
  const std::int64_t rest = x.size(-1) - table.dims;
  if (rest > 0) {
    target.narrow(-1, table.dims, rest).copy_(x.narrow(-1, table.dims, rest));
  }
}

bool simplyRotated(const plan::Attention& attention, const RotaryTable* table) {
  return table != nullptr && table->dims > 0 && attention.qkNorm != plan::QkNorm::HeadAfterRope;
}

// `x` [rows, heads, D] turned into `target` [heads, rows, D].
void turnInto(const RotaryTable& table, const at::Tensor& x, const at::Tensor& target) {
  if (rowKernelsApply(x)) {
    rotateRowsInto(table, x, target);
  } else {
    rotateInto(table, x, target.transpose(0, 1));
  }
}

}  // namespace

at::Tensor applyLinear(const Weights& weights, const plan::Linear& linear, const at::Tensor& x) {
  const at::Tensor& bias = weights[linear.bias];
  return bias.defined() ? at::linear(x, weights[linear.weight], bias) : at::linear(x, weights[linear.weight]);
}

at::Tensor applyNorm(const Weights& weights, const plan::Norm& norm, const at::Tensor& x) {
  if (!norm) {
    return x;
  }
  const bool overLast = !norm.weight || weights[norm.weight].dim() == 1;
  if (norm.kind == plan::Norm::Kind::Rms && !norm.bias && overLast && rowKernelsApply(x)) {
    return rmsNormRows(x, weights[norm.weight], norm.eps, norm.plusOne);
  }
  if (norm.kind == plan::Norm::Kind::Rms && norm.weight && !norm.plusOne && overLast && x.is_cuda()) {
    return at::rms_norm(x, {x.size(-1)}, weights[norm.weight], norm.eps);
  }
  at::Tensor y = x.to(at::kFloat);
  if (norm.kind == plan::Norm::Kind::Rms) {
    y = y * at::rsqrt(y.square().mean(-1, true) + norm.eps);
  } else {
    y = at::layer_norm(y, {y.size(-1)}, {}, {}, norm.eps);
  }
  if (norm.weight) {
    const at::Tensor weight = weights[norm.weight].to(at::kFloat);
    y = y * (norm.plusOne ? weight + 1 : weight);
  }
  if (norm.bias) {
    y = y + weights[norm.bias].to(at::kFloat);
  }
  return y.to(x.scalar_type());
}

at::Tensor applyMlp(const Weights& weights, const plan::Mlp& mlp, const at::Tensor& x) {
  at::Tensor up = applyLinear(weights, mlp.up, x);
  if (!mlp.gate) {
    return applyLinear(weights, mlp.down, activate(weights, mlp, up));
  }
  const at::Tensor gate = activate(weights, mlp, applyLinear(weights, mlp.gate, x));
  if (mlp.activation == plan::Activation::ClampedSwiglu) {
    up = up.clamp(-mlp.swigluLimit, mlp.swigluLimit) + 1;
  }
  return applyLinear(weights, mlp.down, times(gate, up));
}

at::Tensor applyExperts(const Weights& weights, const plan::Experts& experts, const at::Tensor& x,
                        const at::Tensor& raw) {
  const Choice choice = choose(weights, experts, routerLogits(weights, experts, x, raw));
  at::Tensor y = at::zeros_like(x);
  for (std::size_t expert = 0; expert < experts.experts.size(); ++expert) {
    const at::Tensor places = at::nonzero(choice.experts == static_cast<std::int64_t>(expert));
    if (places.size(0) == 0) {
      continue;
    }
    const at::Tensor rows = places.select(1, 0);
    const at::Tensor share =
        choice.weights.flatten().index_select(0, rows * choice.weights.size(1) + places.select(1, 1));
    const at::Tensor out = applyMlp(weights, experts.experts[expert], x.index_select(0, rows));
    y = y.index_add(0, rows, (out * share.unsqueeze(-1)).to(y.scalar_type()));
  }
  if (experts.shared) {
    at::Tensor shared = applyMlp(weights, experts.shared, x);
    if (experts.sharedGate) {
      shared = shared * at::sigmoid(applyLinear(weights, experts.sharedGate, x));
    }
    y = y + shared;
  }
  return y;
}

Projections project(const Weights& weights, const plan::Attention& attention, const at::Tensor& x) {
  Projections result;
  result.q = applyLinear(weights, attention.q, x);
  if (attention.k) {
    result.k = applyLinear(weights, attention.k, x);
    result.v = attention.v ? applyLinear(weights, attention.v, x) : result.k;
  }
  if (attention.qkNorm == plan::QkNorm::Whole) {
    result.q = applyNorm(weights, attention.qNorm, result.q);
    result.k = result.k.defined() ? applyNorm(weights, attention.kNorm, result.k) : result.k;
  }
  for (at::Tensor* tensor : {&result.q, &result.k, &result.v}) {
    if (tensor->defined()) {
      *tensor = attention.clip ? tensor->clamp(-*attention.clip, *attention.clip) : *tensor;
      *tensor = tensor->unflatten(-1, {-1, attention.headDim});
    }
  }
  if (attention.qkNorm == plan::QkNorm::Head) {
    result.q = applyNorm(weights, attention.qNorm, result.q);
    result.k = result.k.defined() ? applyNorm(weights, attention.kNorm, result.k) : result.k;
  }
  if (attention.vNorm && result.v.defined()) {
    result.v = applyNorm(weights, attention.vNorm, result.v);
  }
  return result;
}

RotaryTable rotaryTable(const Rope& rope, std::int64_t first, std::int64_t count, const at::Device& device) {
  const std::vector<float> frequencies(rope.invFreq.begin(), rope.invFreq.end());
  const at::Tensor positions = at::arange(first, first + count, at::kLong).to(at::kFloat);
  const at::Tensor angles = at::outer(positions, at::tensor(frequencies));
  RotaryTable table;
  table.cos = (angles.cos() * rope.attentionScaling).to(device);
  table.sin = (angles.sin() * rope.attentionScaling).to(device);
  table.pairing = rope.pairing;
  table.dims = rope.rotaryDims;
  return table;
}

at::Tensor rotate(const RotaryTable& table, const at::Tensor& x) {
  if (table.dims == 0) {
    return x;
  }
  const at::Tensor turning = x.narrow(-1, 0, table.dims).to(at::kFloat);
  const at::Tensor c = table.cos.unsqueeze(-2);
  const at::Tensor s = table.sin.unsqueeze(-2);
  at::Tensor turned;
  if (table.pairing == RopePairing::Half) {
    const at::Tensor a = turning.narrow(-1, 0, table.dims / 2);
    const at::Tensor b = turning.narrow(-1, table.dims / 2, table.dims / 2);
    turned = at::cat({a * c - b * s, b * c + a * s}, -1);
  } else {
    const at::Tensor pairs = turning.unflatten(-1, {-1, 2});
    const at::Tensor a = pairs.select(-1, 0);
    const at::Tensor b = pairs.select(-1, 1);
    turned = at::stack({a * c - b * s, b * c + a * s}, -1).flatten(-2);
  }
  turned = turned.to(x.scalar_type());
  const std::int64_t rest = x.size(-1) - table.dims;
  return rest == 0 ? turned : at::cat({turned, x.narrow(-1, table.dims, rest)}, -1);
}

at::Tensor queriesForProduct(const Weights& weights, const plan::Attention& attention, const RotaryTable* table,
                             const at::Tensor& q, std::int64_t first) {
  at::Tensor result = table != nullptr ? rotate(*table, q) : q;
  if (attention.qkNorm == plan::QkNorm::HeadAfterRope) {
    result = applyNorm(weights, attention.qNorm, result);
  }
  if (attention.positionBeta) {
    const std::int64_t count = result.size(-3);
    const at::Tensor positions = at::arange(first, first + count, at::kLong);
    const at::Tensor steps = positions.div(attention.positionOriginal, "floor").to(at::kFloat);
    const at::Tensor scale = (1 + *attention.positionBeta * (1 + steps).log()).to(result.device());
    result = (result * scale.view({count, 1, 1})).to(q.scalar_type());
  }
  return result;
}

at::Tensor keysForProduct(const Weights& weights, const plan::Attention& attention, const RotaryTable* table,
                          const at::Tensor& k) {
  const at::Tensor result = table != nullptr ? rotate(*table, k) : k;
  return attention.qkNorm == plan::QkNorm::HeadAfterRope ? applyNorm(weights, attention.kNorm, result) : result;
}

void queriesInto(const Weights& weights, const plan::Attention& attention, const RotaryTable* table,
                 const at::Tensor& q, std::int64_t first, const at::Tensor& target) {
  if (simplyRotated(attention, table) && !attention.positionBeta) {
    turnInto(*table, q, target);
  } else {
    target.copy_(queriesForProduct(weights, attention, table, q, first).transpose(0, 1));
  }
}

void keysInto(const Weights& weights, const plan::Attention& attention, const RotaryTable* table, const at::Tensor& k,
              const at::Tensor& target) {
  if (simplyRotated(attention, table)) {
    turnInto(*table, k, target);
  } else {
    target.copy_(keysForProduct(weights, attention, table, k).transpose(0, 1));
  }
}

at::Tensor finishLayer(const Weights& weights, const plan::Decoder& decoder, const plan::Layer& layer,
                       const at::Tensor& x, const at::Tensor& mixed, const at::Tensor& perLayer) {
  const double m = decoder.residualScale;
  const at::Tensor attended = applyNorm(weights, layer.attentionOut, applyLinear(weights, layer.attention.o, mixed));
  const at::Tensor parallel = layer.parallel ? mlpBranch(weights, layer, x) : at::Tensor();
  at::Tensor y = addScaled(x, attended, m);
  y = addScaled(y, layer.parallel ? parallel : mlpBranch(weights, layer, y), m);
  if (perLayer.defined()) {
    plan::Mlp activation;
    activation.activation = decoder.perLayerInputs.activation;
    const at::Tensor gate = activate(weights, activation, applyLinear(weights, layer.perLayerGate, y));
    const at::Tensor extra = applyLinear(weights, layer.perLayerProjection, gate * perLayer);
    y = addScaled(y, applyNorm(weights, layer.perLayerNorm, extra), 1);
  }
  return layer.scalar ? times(y, weights[layer.scalar]) : y;
}

at::Tensor embed(const Weights& weights, const plan::Decoder& decoder, const at::Tensor& ids) {
  const at::Tensor x = at::embedding(weights[decoder.embedding], ids);
  return decoder.embeddingScale == 1 ? x : x * decoder.embeddingScale;
}

at::Tensor perLayerInputs(const Weights& weights, const plan::Decoder& decoder, const at::Tensor& ids,
                          const at::Tensor& embedded) {
  const plan::PerLayerInputs& extra = decoder.perLayerInputs;
  if (extra.width == 0) {
    return {};
  }
  const double toModel = 1 / std::sqrt(static_cast<double>(decoder.hidden));
  const at::Tensor own =
      at::embedding(weights[extra.embedding], ids).unflatten(-1, {-1, extra.width}) * std::sqrt(extra.width);
  const at::Tensor projected =
      (applyLinear(weights, extra.projection, embedded) * toModel).unflatten(-1, {-1, extra.width});
  return (applyNorm(weights, extra.norm, projected) + own) * std::sqrt(0.5);
}

at::Tensor headLogits(const Weights& weights, const plan::Decoder& decoder, const at::Tensor& x) {
  at::Tensor logits = applyLinear(weights, decoder.head, x).to(at::kFloat);
  if (decoder.logitScale != 1) {
    logits = logits * decoder.logitScale;
  }
  return decoder.finalSoftcap ? at::tanh(logits / *decoder.finalSoftcap) * *decoder.finalSoftcap : logits;
}

}  // namespace headscope
