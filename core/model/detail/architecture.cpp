#include "core/model/detail/architecture.h"

#include <cmath>
#include <utility>

namespace headscope {
namespace {

using plan::Linear;
using plan::Norm;
using plan::Tensor;

// Rows [begin, begin + count) of each of `groups` groups; count 0: the whole tensor.
struct Part {
  std::int64_t groups = 1, begin = 0, count = 0;
};

Tensor tensor(std::string name, std::vector<std::int64_t> shape, const Part& part = {}) {
  Tensor result;
  result.name = std::move(name);
  result.shape = std::move(shape);
  result.groups = part.groups;
  result.begin = part.begin;
  result.count = part.count;
  return result;
}

// `rows` and `part` describe the stored tensor.
Linear linear(const std::string& name, std::int64_t rows, std::int64_t in, bool bias, const Part& part = {}) {
  Linear result;
  result.weight = tensor(name + ".weight", {rows, in}, part);
  if (bias) {
    result.bias = tensor(name + ".bias", {rows}, part);
  }
  return result;
}

Norm norm(NormForm form, double eps, const std::string& name, std::vector<std::int64_t> shape) {
  Norm result;
  result.kind = form == NormForm::Rms || form == NormForm::RmsPlusOne ? Norm::Kind::Rms : Norm::Kind::Layer;
  result.eps = eps;
  result.plusOne = form == NormForm::RmsPlusOne || form == NormForm::LayerPlusOne;
  if (form != NormForm::LayerBare) {
    result.weight = tensor(name + ".weight", shape);
  }
  if (form == NormForm::Layer || form == NormForm::LayerPlusOne) {
    result.bias = tensor(name + ".bias", std::move(shape));
  }
  return result;
}

Norm weightlessRms(double eps) {
  Norm result;
  result.kind = Norm::Kind::Rms;
  result.eps = eps;
  return result;
}

class LayerPlanner {
 public:
  LayerPlanner(const Architecture& architecture, int index)
      : a_(architecture),
        traits_(architecture.layer[static_cast<std::size_t>(index)]),
        prefix_(concat(architecture.names.layerPrefix, index, ".")) {}

  plan::Layer plan() const {
    plan::Layer layer;
    layer.attention = attention();
    planNorms(layer);
    if (!traits_.experts || a_.experts->besideDense) {
      layer.mlp = denseMlp();
    }
    if (traits_.experts) {
      layer.experts = experts();
      if (a_.experts->besideDense) {
        planNormsBesideDense(layer);
      }
    }
    if (a_.perLayerInput > 0) {
      planPerLayerInput(layer);
    }
    if (a_.layerScalar) {
      layer.scalar = tensor(prefix_ + "layer_scalar", {1});
    }
    return layer;
  }

 private:
  Norm hiddenNorm(const std::string& name) const { return norm(a_.norm, a_.eps, prefix_ + name, {a_.hidden}); }

  void planNorms(plan::Layer& layer) const {
    const TensorNames& names = a_.names;
    layer.parallel = a_.block == BlockForm::Parallel || a_.block == BlockForm::ParallelSharedNorm;
    if (a_.block != BlockForm::Post) {
      layer.attentionIn = hiddenNorm(names.attentionIn);
      if (a_.block != BlockForm::ParallelSharedNorm) {
        layer.mlpIn = hiddenNorm(names.mlpIn);
      }
    }
    if (a_.block == BlockForm::Post || a_.block == BlockForm::Sandwich) {
      layer.attentionOut = hiddenNorm(names.attentionOut);
      layer.mlpOut = hiddenNorm(names.mlpOut);
    }
  }

  plan::Attention attention() const {
    plan::Attention result;
    result.heads = a_.heads;
    result.kvHeads = traits_.kvHeads;
    result.headDim = traits_.headDim;
    planProjections(result);
    planQkNorm(result);
    if (a_.valueNorm) {
      result.vNorm = weightlessRms(a_.eps);
    }
    result.clip = a_.clip;
    result.valuesAreKeys = traits_.valuesAreKeys;
    result.keysFrom = traits_.keysFrom;
    result.rope = traits_.rope;
    result.window = traits_.window;
    result.scale = a_.scale != 0 ? a_.scale : 1 / std::sqrt(static_cast<double>(traits_.headDim));
    result.softcap = a_.softcap;
    if (a_.sinks) {
      result.sinks = tensor(prefix_ + a_.names.sinks, {a_.heads});
    }
    result.positionBeta = a_.positionBeta;
    result.positionOriginal = a_.positionOriginal;
    return result;
  }

  void planProjections(plan::Attention& result) const {
    const TensorNames& names = a_.names;
    const std::int64_t d = traits_.headDim;
    const std::int64_t qRows = a_.heads * d;
    const std::int64_t kRows = traits_.kvHeads * d;
    result.o = linear(prefix_ + names.o, a_.hidden, qRows, a_.bias.o);
    if (a_.qkv == QkvLayout::Separate) {
      result.q = paired(linear(prefix_ + names.q, qRows, a_.hidden, a_.bias.q), a_.heads);
      if (!traits_.keysFrom) {
        result.k = paired(linear(prefix_ + names.k, kRows, a_.hidden, a_.bias.k), traits_.kvHeads);
        if (!traits_.valuesAreKeys) {
          result.v = linear(prefix_ + names.v, kRows, a_.hidden, a_.bias.v);
        }
      }
      return;
    }
    const std::int64_t rows = qRows + 2 * kRows;
    const auto part = [&](std::int64_t begin, std::int64_t count) {
      return linear(prefix_ + names.qkv, rows, a_.hidden, a_.bias.q,
                    a_.qkv == QkvLayout::PerHead ? Part{a_.heads, begin / a_.heads, d} : Part{1, begin, count});
    };
    result.q = paired(part(0, qRows), a_.heads);
    result.k = paired(part(qRows, kRows), traits_.kvHeads);
    result.v = part(qRows + kRows, kRows);
  }

  Linear paired(Linear result, int heads) const {
    result.weight.pairedHeads = result.bias.pairedHeads = a_.pairedRows ? heads : 0;
    return result;
  }

  void planQkNorm(plan::Attention& result) const {
    if (a_.qkNorm == QkNormForm::None) {
      return;
    }
    result.qkNorm = a_.qkNorm == QkNormForm::Whole           ? plan::QkNorm::Whole
                    : a_.qkNorm == QkNormForm::HeadAfterRope ? plan::QkNorm::HeadAfterRope
                                                             : plan::QkNorm::Head;
    result.qNorm = headNorm(a_.names.qNorm, a_.heads);
    if (!traits_.keysFrom) {
      result.kNorm = headNorm(a_.names.kNorm, traits_.kvHeads);
    }
  }

  Norm headNorm(const std::string& name, int heads) const {
    const std::int64_t d = traits_.headDim;
    if (a_.qkNorm == QkNormForm::Whole) {
      return norm(a_.qkNormForm, a_.eps, prefix_ + name, {heads * d});
    }
    if (a_.qkNorm == QkNormForm::OwnPerHead) {
      return norm(a_.qkNormForm, a_.eps, prefix_ + name, {heads, d});
    }
    if (a_.qkNorm == QkNormForm::StackedPerHead) {
      Norm result = norm(a_.qkNormForm, a_.eps, prefix_ + name + ".norms.0", {d});
      for (int head = 1; head < heads; ++head) {
        result.weight.stacked.push_back(concat(prefix_, name, ".norms.", head, ".weight"));
      }
      return result;
    }
    return norm(a_.qkNormForm, a_.eps, prefix_ + name, {d});
  }

  plan::Mlp denseMlp() const {
    const TensorNames& names = a_.names;
    const std::int64_t f = traits_.mlpWidth;
    plan::Mlp mlp;
    mlp.activation = a_.activation;
    if (a_.mlp == MlpForm::FusedGated) {
      mlp.gate = linear(prefix_ + names.gateUp, 2 * f, a_.hidden, a_.bias.mlp, {1, 0, f});
      mlp.up = linear(prefix_ + names.gateUp, 2 * f, a_.hidden, a_.bias.mlp, {1, f, f});
    } else {
      if (a_.mlp == MlpForm::Gated) {
        mlp.gate = linear(prefix_ + names.gate, f, a_.hidden, a_.bias.mlp);
      }
      mlp.up = linear(prefix_ + names.up, f, a_.hidden, a_.bias.mlp);
    }
    mlp.down = linear(prefix_ + names.down, a_.hidden, f, a_.bias.mlp);
    mlp.xielu = traits_.xielu;
    if (mlp.activation == plan::Activation::XIelu && !mlp.xielu) {
      mlp.alphaP = tensor(prefix_ + "mlp.act_fn.alpha_p", {1});
      mlp.alphaN = tensor(prefix_ + "mlp.act_fn.alpha_n", {1});
      mlp.beta = tensor(prefix_ + "mlp.act_fn.beta", {});
      mlp.eps = tensor(prefix_ + "mlp.act_fn.eps", {});
    }
    return mlp;
  }

  plan::Experts experts() const {
    const ExpertTraits& t = *a_.experts;
    plan::Experts result;
    result.router = linear(prefix_ + t.router, t.count, a_.hidden, t.routerBias);
    result.routing = t.routing;
    result.chosen = t.chosen;
    result.renormalise = t.renormalise;
    result.renormaliseEps = t.renormaliseEps;
    result.weightScale = t.weightScale;
    if (!t.correction.empty()) {
      result.correction = tensor(prefix_ + t.correction, {t.count});
    }
    result.groups = t.groups;
    result.chosenGroups = t.chosenGroups;
    for (int expert = 0; expert < t.count; ++expert) {
      result.experts.push_back(expertMlp(t, expert));
    }
    if (t.sharedWidth > 0) {
      result.shared = gatedMlp(prefix_ + t.shared, t.sharedSuffix, t.sharedWidth, t);
      if (!t.sharedGate.empty()) {
        result.sharedGate = linear(prefix_ + t.sharedGate, 1, a_.hidden, false);
      }
    }
    return result;
  }

  plan::Mlp gatedMlp(const std::string& prefix, const std::string& suffix, std::int64_t width,
                     const ExpertTraits& t) const {
    plan::Mlp mlp;
    mlp.activation = t.activation;
    mlp.gate = linear(prefix + t.gate + suffix, width, a_.hidden, false);
    mlp.up = linear(prefix + t.up + suffix, width, a_.hidden, false);
    mlp.down = linear(prefix + t.down + suffix, a_.hidden, width, false);
    return mlp;
  }

  plan::Mlp expertMlp(const ExpertTraits& t, int expert) const {
    if (t.layout == ExpertLayout::Separate) {
      return gatedMlp(concat(prefix_, t.prefix, expert, "."), {}, t.width, t);
    }
    if (t.layout == ExpertLayout::Stacked) {
      return stackedExpert(t, expert);
    }
    const bool interleaved = t.layout == ExpertLayout::Interleaved;
    const std::int64_t f = t.width;
    plan::Mlp mlp;
    mlp.activation = t.activation;
    mlp.swigluAlpha = t.swigluAlpha;
    mlp.swigluLimit = t.swigluLimit;
    const auto slab = [&](const std::string& name, std::int64_t out, std::int64_t in, const Part& part) {
      Linear result;
      result.weight = tensor(name, {t.count, interleaved ? in : out, interleaved ? out : in}, part);
      result.weight.slab = expert;
      result.weight.transposed = interleaved;
      if (interleaved) {
        result.bias = tensor(name + "_bias", {t.count, out}, part);
        result.bias.slab = expert;
      }
      return result;
    };
    mlp.gate = slab(prefix_ + t.fusedGateUp, 2 * f, a_.hidden, interleaved ? Part{f, 0, 1} : Part{1, 0, f});
    mlp.up = slab(prefix_ + t.fusedGateUp, 2 * f, a_.hidden, interleaved ? Part{f, 1, 1} : Part{1, f, f});
    mlp.down = slab(prefix_ + t.fusedDown, a_.hidden, f, {});
    return mlp;
  }

  plan::Mlp stackedExpert(const ExpertTraits& t, int expert) const {
    plan::Mlp mlp;
    mlp.activation = t.activation;
    mlp.swigluAlpha = t.swigluAlpha;
    mlp.swigluLimit = t.swigluLimit;
    const auto slab = [&](const std::string& name, std::int64_t out, std::int64_t in) {
      Linear result;
      const std::string stacked = prefix_ + name + t.stackedSuffix;
      result.weight = tensor(stacked + ".weight", {t.count, out, in});
      result.weight.slab = expert;
      if (t.stackedBias) {
        result.bias = tensor(stacked + ".bias", {t.count, out});
        result.bias.slab = expert;
      }
      return result;
    };
    mlp.gate = slab(t.gate, t.width, a_.hidden);
    mlp.up = slab(t.up, t.width, a_.hidden);
    mlp.down = slab(t.down, a_.hidden, t.width);
    return mlp;
  }

  void planNormsBesideDense(plan::Layer& layer) const {
    layer.denseOut = hiddenNorm("post_feedforward_layernorm_1");
    layer.experts.in = hiddenNorm("pre_feedforward_layernorm_2");
    layer.experts.out = hiddenNorm("post_feedforward_layernorm_2");
    layer.experts.routerNorm = weightlessRms(a_.eps);
    layer.experts.routerScale = tensor(prefix_ + "router.scale", {a_.hidden});
    layer.experts.routerFactor = 1 / std::sqrt(static_cast<double>(a_.hidden));
    layer.experts.expertScale = tensor(prefix_ + "router.per_expert_scale", {a_.experts->count});
  }

  void planPerLayerInput(plan::Layer& layer) const {
    layer.perLayerGate = linear(prefix_ + "per_layer_input_gate", a_.perLayerInput, a_.hidden, false);
    layer.perLayerProjection = linear(prefix_ + "per_layer_projection", a_.hidden, a_.perLayerInput, false);
    layer.perLayerNorm = hiddenNorm("post_per_layer_input_norm");
  }

  const Architecture& a_;
  const LayerTraits& traits_;
  std::string prefix_;
};

plan::PerLayerInputs perLayerInputs(const Architecture& a) {
  plan::PerLayerInputs result;
  if (a.perLayerInput > 0) {
    const std::int64_t width = std::int64_t{a.layers} * a.perLayerInput;
    result.width = a.perLayerInput;
    result.embedding = tensor("model.embed_tokens_per_layer.weight", {a.perLayerVocab, width});
    result.projection = linear("model.per_layer_model_projection", width, a.hidden, false);
    result.norm = norm(a.norm, a.eps, "model.per_layer_projection_norm", {a.perLayerInput});
    result.activation = a.activation;
  }
  return result;
}

}  // namespace

plan::Decoder makePlan(const Architecture& a) {
  plan::Decoder decoder;
  decoder.family = a.family;
  decoder.where = a.where;
  decoder.hidden = a.hidden;
  decoder.vocab = a.vocab;
  decoder.context = a.context;
  decoder.embedding = tensor(a.names.embedding + ".weight", {a.vocab, a.hidden});
  decoder.embeddingScale = a.embeddingScale;
  decoder.perLayerInputs = perLayerInputs(a);
  decoder.ropes = a.ropes;
  for (int i = 0; i < a.layers; ++i) {
    decoder.layers.push_back(LayerPlanner(a, i).plan());
  }
  decoder.residualScale = a.residualScale;
  decoder.finalNorm = norm(a.norm, a.eps, a.names.finalNorm, {a.hidden});
  decoder.tied = a.tied;
  decoder.head = linear(a.names.head, a.vocab, a.hidden, a.bias.head);
  if (a.tied) {
    decoder.head.weight = decoder.embedding;
  }
  decoder.logitScale = a.logitScale;
  decoder.finalSoftcap = a.finalSoftcap;
  decoder.notes = a.notes;
  plan::numberTensors(decoder);
  return decoder;
}

}  // namespace headscope
