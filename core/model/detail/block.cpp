#include "core/model/detail/block.h"

#include <cmath>
#include <utility>

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/expm1.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/minimum.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/rms_norm.h>
#include <ATen/ops/rsqrt.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/softplus.h>
#include <ATen/ops/tanh.h>
#include <ATen/ops/where.h>
#include <c10/core/InferenceMode.h>

#include "core/model/detail/row_kernels.h"

namespace headscope {
namespace {

at::Tensor xielu(const Weights& weights, const plan::Mlp& mlp, const at::Tensor& x) {
  const auto number = [&](const plan::Tensor& tensor, double plan::XIeluNumbers::*member) {
    return tensor ? weights[tensor] : at::scalar_tensor((*mlp.xielu).*member, x.options());
  };
  const at::Tensor beta = number(mlp.beta, &plan::XIeluNumbers::beta);
  const at::Tensor alphaP = at::softplus(number(mlp.alphaP, &plan::XIeluNumbers::alphaP));
  const at::Tensor alphaN = beta + at::softplus(number(mlp.alphaN, &plan::XIeluNumbers::alphaN));
  const at::Tensor eps = number(mlp.eps, &plan::XIeluNumbers::eps);
  const at::Tensor positive = alphaP * x * x + beta * x;
  const at::Tensor negative = (at::expm1(at::minimum(x, eps)) - x) * alphaN + beta * x;
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

bool simplyRotated(const plan::Attention& attention, const RotaryTable* table) {
  return table != nullptr && table->dims > 0 && attention.qkNorm != plan::QkNorm::HeadAfterRope;
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
    rotateInto(*table, q, target);
  } else {
    target.copy_(queriesForProduct(weights, attention, table, q, first).transpose(0, 1));
  }
}

void keysInto(const Weights& weights, const plan::Attention& attention, const RotaryTable* table, const at::Tensor& k,
              const at::Tensor& target) {
  if (simplyRotated(attention, table)) {
    rotateInto(*table, k, target);
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
  return headLogits(weights, decoder, x, 0, decoder.vocab);
}

at::Tensor headLogits(const Weights& weights, const plan::Decoder& decoder, const at::Tensor& x, std::int64_t firstId,
                      std::int64_t count) {
  const at::Tensor& bias = weights[decoder.head.bias];
  const at::Tensor rows = weights[decoder.head.weight].narrow(0, firstId, count);
  at::Tensor logits =
      (bias.defined() ? at::linear(x, rows, bias.narrow(0, firstId, count)) : at::linear(x, rows)).to(at::kFloat);
  if (decoder.logitScale != 1) {
    logits = logits * decoder.logitScale;
  }
  return decoder.finalSoftcap ? at::tanh(logits / *decoder.finalSoftcap) * *decoder.finalSoftcap : logits;
}

}  // namespace headscope
