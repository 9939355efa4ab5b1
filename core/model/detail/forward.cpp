#include "core/model/detail/forward.h"

#include <cmath>
#include <optional>
#include <vector>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/full.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/scaled_dot_product_attention.h>

#include "core/base/error.h"
#include "core/model/detail/block.h"
#include "core/model/detail/config.h"
#include "core/model/families/families.h"

namespace headscope {
namespace {

constexpr std::int64_t kLayerLimit = 1024;
constexpr double kSpread = 0.02;

class Initialiser {
 public:
  Initialiser(const plan::Decoder& decoder, std::uint64_t seed, const at::Device& device)
      : generator_(at::detail::createCPUGenerator(seed)),
        device_(device),
        residualSpread_(kSpread / std::sqrt(2.0 * static_cast<double>(decoder.layers.size()))) {
    add(decoder.embedding, kSpread);
    for (const plan::Layer& layer : decoder.layers) {
      add(layer);
    }
    addNorm(decoder.finalNorm);
    addLinear(decoder.head, kSpread);
  }

  std::map<std::string, at::Tensor> take() { return std::move(named_); }

 private:
  void add(const plan::Tensor& tensor, double spread) {
    if (tensor && !named_.contains(tensor.name)) {
      named_[tensor.name] = (at::randn(tensor.shape, generator_, at::dtype(at::kFloat)) * spread).to(device_);
    }
  }

  void addConstant(const plan::Tensor& tensor, double value) {
    if (tensor) {
      named_[tensor.name] = at::full(tensor.shape, value, at::dtype(at::kFloat).device(device_));
    }
  }

  void addLinear(const plan::Linear& linear, double spread) {
    add(linear.weight, spread);
    addConstant(linear.bias, 0);
  }

  void addNorm(const plan::Norm& norm) {
    addConstant(norm.weight, norm.plusOne ? 0 : 1);
    addConstant(norm.bias, 0);
  }

  void add(const plan::Layer& layer) {
    for (const plan::Norm* norm : {&layer.attentionIn, &layer.attentionOut, &layer.mlpIn, &layer.mlpOut,
                                   &layer.attention.qNorm, &layer.attention.kNorm}) {
      addNorm(*norm);
    }
    for (const plan::Linear* linear :
         {&layer.attention.q, &layer.attention.k, &layer.attention.v, &layer.mlp.gate, &layer.mlp.up}) {
      addLinear(*linear, kSpread);
    }
    addLinear(layer.attention.o, residualSpread_);
    addLinear(layer.mlp.down, residualSpread_);
  }

  at::Generator generator_;
  at::Device device_;
  double residualSpread_;
  std::map<std::string, at::Tensor> named_;
};

at::Tensor attendAll(const plan::Attention& attention, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v) {
  const std::int64_t group = attention.heads / attention.kvHeads;
  const auto heads = [](const at::Tensor& x) { return x.transpose(1, 2); };
  const auto repeated = [&](const at::Tensor& x) {
    return group == 1 ? heads(x) : heads(x).repeat_interleave(group, 1);
  };
  const at::Tensor mixed =
      at::scaled_dot_product_attention(heads(q), repeated(k), repeated(v), {}, 0.0, true, attention.scale);
  return mixed.transpose(1, 2).flatten(-2);
}

void checkTrainable(const plan::Decoder& decoder) {
  for (const plan::Layer& layer : decoder.layers) {
    const plan::Attention& attention = layer.attention;
    if (attention.window || attention.softcap || attention.sinks || attention.keysFrom || layer.experts) {
      throw Error(decoder.where, "the forward pass for training covers plain causal attention and dense MLPs only",
                  ErrorKind::Unsupported);
    }
  }
}

}  // namespace

plan::Decoder decoderFromJson(const std::string& text, const std::string& where) {
  const Config config(parseJson(text, where), where, kLayerLimit);
  return makePlan(readArchitecture(config));
}

std::map<std::string, at::Tensor> randomWeights(const plan::Decoder& decoder, std::uint64_t seed,
                                                const at::Device& device) {
  checkTrainable(decoder);
  return Initialiser(decoder, seed, device).take();
}

at::Tensor forwardLogits(const plan::Decoder& decoder, const Weights& weights, const at::Tensor& ids) {
  checkTrainable(decoder);
  const std::int64_t tokens = ids.size(1);
  std::vector<RotaryTable> tables;
  for (const RopeParameters& parameters : decoder.ropes) {
    tables.push_back(rotaryTable(makeRope(parameters, tokens, decoder.where), 0, tokens, ids.device()));
  }
  at::Tensor x = embed(weights, decoder, ids);
  for (const plan::Layer& layer : decoder.layers) {
    const plan::Attention& attention = layer.attention;
    const RotaryTable* table = attention.rope ? &tables[static_cast<std::size_t>(*attention.rope)] : nullptr;
    const Projections own = project(weights, attention, applyNorm(weights, layer.attentionIn, x));
    const at::Tensor mixed = attendAll(attention, queriesForProduct(weights, attention, table, own.q, 0),
                                       keysForProduct(weights, attention, table, own.k), own.v);
    x = finishLayer(weights, decoder, layer, x, mixed, {});
  }
  return headLogits(weights, decoder, applyNorm(weights, decoder.finalNorm, x));
}

}  // namespace headscope
