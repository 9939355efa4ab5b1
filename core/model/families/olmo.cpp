// Allen AI's OLMo 1 to 3 and OLMoE.

#include "core/model/families/families.h"

namespace headscope {
namespace {

Biases attentionBias(const Config& config) {
  const bool bias = config.flag("attention_bias", false);
  return {.q = bias, .k = bias, .v = bias, .o = bias};
}

Architecture olmo(const Config& config) {
  Architecture a = config.decoder();
  a.norm = NormForm::LayerBare;
  a.eps = 1e-5;
  a.bias = attentionBias(config);
  a.clip = config.optionalNumber("clip_qkv");
  return a;
}

Architecture wholeNormPostBlock(const Config& config, const DecoderDefaults& defaults) {
  Architecture a = config.decoder(defaults);
  a.block = BlockForm::Post;
  a.bias = attentionBias(config);
  a.qkNorm = QkNormForm::Whole;
  return a;
}

Architecture olmo2(const Config& config) {
  return wholeNormPostBlock(config, {.eps = 1e-5});
}

// OLMo 3: scaling and a changed base are for full layers only.
Architecture olmo3(const Config& config) {
  const DecoderDefaults defaults{.ropeBase = 5e5, .eps = 1e-5};
  Architecture a = wholeNormPostBlock(config, defaults);
  const std::vector<std::string> types = config.layerTypesOr(a.layers, 4);
  slideByType(a, types, config.window(4096));
  rotateByType(a, types, config.ropeOf("full_attention", defaults, a.headDim),
               config.ropeOf("sliding_attention", defaults, a.headDim));
  return a;
}

Architecture olmoe(const Config& config) {
  Architecture a = config.decoder({.eps = 1e-5});
  a.bias = attentionBias(config);
  a.qkNorm = QkNormForm::Whole;
  a.clip = config.optionalNumber("clip_qkv");
  ExpertTraits experts;
  experts.count = config.expertCount("num_experts");
  experts.chosen = config.count("num_experts_per_tok", 8, 1, experts.count);
  experts.width = a.mlpWidth;
  experts.renormalise = config.flag("norm_topk_prob", false);
  experts.activation = a.activation;
  a.experts = experts;
  for (LayerTraits& layer : a.layer) {
    layer.experts = true;
  }
  return a;
}

constexpr Family kFamilies[] = {
    {"olmo", olmo},
    {"olmo2", olmo2},
    {"olmo3", olmo3},
    {"olmoe", olmoe},
};

}  // namespace

std::span<const Family> olmoFamilies() {
  return kFamilies;
}

}  // namespace headscope
