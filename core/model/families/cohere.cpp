// Cohere's Command-R and Command-R7B: neighbouring dims rotate, parallel block with one norm.

#include "core/model/families/families.h"

namespace headscope {
namespace {

Architecture base(const Config& config, double ropeBase) {
  Architecture a = config.decoder({.ropeBase = ropeBase,
                                   .pairing = RopePairing::Interleaved,
                                   .epsKey = "layer_norm_eps",
                                   .eps = 1e-5,
                                   .tied = true});
  const bool bias = config.flag("attention_bias", false);
  a.bias = {.q = bias, .k = bias, .v = bias, .o = bias};
  a.norm = NormForm::LayerWithoutBias;
  a.block = BlockForm::ParallelSharedNorm;
  a.logitScale = config.number("logit_scale", 0.0625);
  return a;
}

Architecture cohere(const Config& config) {
  Architecture a = base(config, 5e5);
  if (config.flag("use_qk_norm", false)) {
    a.qkNorm = QkNormForm::OwnPerHead;
    a.qkNormForm = NormForm::LayerWithoutBias;
  }
  return a;
}

// Only sliding layers rotate; without a window none does.
Architecture cohere2(const Config& config) {
  Architecture a = base(config, 1e4);
  const std::optional<std::int64_t> window = config.window(4096);
  slideByType(a, config.layerTypesOr(a.layers, config.sizeOr("sliding_window_pattern", 4)), window);
  for (LayerTraits& layer : a.layer) {
    layer.rope = layer.window ? std::optional<int>(0) : std::nullopt;
  }
  return a;
}

constexpr Family kFamilies[] = {
    {"cohere", cohere},
    {"cohere2", cohere2},
};

}  // namespace

std::span<const Family> cohereFamilies() {
  return kFamilies;
}

}  // namespace headscope
