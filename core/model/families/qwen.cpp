// Qwen 2 and 3, dense and with experts.

#include <algorithm>

#include "core/model/families/families.h"

namespace headscope {
namespace {

// use_sliding_window: layers from max_window_layers on slide. layer_types, where present, says it per layer.
void slideUpperLayers(const Config& config, Architecture& a) {
  std::vector<std::string> types = config.layerTypes(a.layers);
  if (!config.flag("use_sliding_window", false)) {
    return;
  }
  const int full = config.count("max_window_layers", 28, 0, 1 << 20);
  for (int i = static_cast<int>(types.size()); i < a.layers; ++i) {
    types.emplace_back(i >= full ? "sliding_attention" : "full_attention");
  }
  slideByType(a, types, config.window(4096));
}

Architecture qwen2(const Config& config) {
  Architecture a = config.decoder();
  a.bias = {.q = true, .k = true, .v = true};
  slideUpperLayers(config, a);
  return a;
}

Architecture withHeadNorm(Architecture a, bool bias) {
  a.bias = {.q = bias, .k = bias, .v = bias, .o = bias};
  a.qkNorm = QkNormForm::Head;
  return a;
}

Architecture qwen3(const Config& config) {
  Architecture a = withHeadNorm(config.decoder({.headDim = 128}), config.flag("attention_bias", false));
  slideUpperLayers(config, a);
  return a;
}

// Experts in all layers but mlp_only_layers and those that decoder_sparse_step skips.
void addExperts(const Config& config, Architecture& a, const char* countKey) {
  ExpertTraits experts;
  experts.count = config.expertCount(countKey);
  experts.chosen = static_cast<int>(config.keys().integer("num_experts_per_tok", 1, experts.count));
  experts.width = config.size("moe_intermediate_size");
  experts.renormalise = config.flag("norm_topk_prob", false);
  experts.activation = a.activation;
  a.experts = experts;
  const std::int64_t step = config.sizeOr("decoder_sparse_step", 1);
  const std::vector<std::int64_t> dense = config.integers("mlp_only_layers");
  for (int i = 0; i < a.layers; ++i) {
    const bool listed = std::find(dense.begin(), dense.end(), i) != dense.end();
    a.layer[static_cast<std::size_t>(i)].experts = !listed && (i + 1) % step == 0;
  }
}

Architecture qwen2Moe(const Config& config) {
  Architecture a = config.decoder();
  const bool bias = config.flag("qkv_bias", true);
  a.bias = {.q = bias, .k = bias, .v = bias};
  addExperts(config, a, "num_experts");
  a.experts->sharedWidth = config.size("shared_expert_intermediate_size");
  a.experts->sharedGate = "mlp.shared_expert_gate";
  std::vector<std::string> types = config.layerTypes(a.layers);
  if (config.flag("use_sliding_window", false)) {
    const int upTo = config.count("max_window_layers", 28, 0, 1 << 20);
    for (int i = static_cast<int>(types.size()); i < a.layers; ++i) {
      types.emplace_back(i % 2 == 0 && i < upTo ? "sliding_attention" : "full_attention");
    }
    slideByType(a, types, config.window(4096));
  }
  return a;
}

Architecture qwen3Moe(const Config& config) {
  Architecture a = withHeadNorm(config.decoder(), config.flag("attention_bias", false));
  addExperts(config, a, config.keys().has("num_experts") ? "num_experts" : "num_local_experts");
  if (config.flag("use_sliding_window", false)) {
    slideAll(a, config.window(4096));
  }
  return a;
}

constexpr Family kFamilies[] = {
    {"qwen2", qwen2},
    {"qwen3", qwen3},
    {"qwen2_moe", qwen2Moe},
    {"qwen3_moe", qwen3Moe},
};

}  // namespace

std::span<const Family> qwenFamilies() {
  return kFamilies;
}

}  // namespace headscope
