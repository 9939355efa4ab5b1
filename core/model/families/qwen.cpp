// Qwen 2 and its successors.

#include "core/model/families/families.h"

namespace headscope {
namespace {

// use_sliding_window: layers from max_window_layers on slide. layer_types, where present, says it per layer.
void slideUpperLayers(const Config& config, Architecture& a) {
  std::vector<std::string> types = config.layerTypes(a.layers);
  if (!config.flag("use_sliding_window", false)) {
    return;
  }
  const std::int64_t full = config.keys().integerOr("max_window_layers", 28, 0, a.layers + (std::int64_t{1} << 20));
  for (int i = static_cast<int>(types.size()); i < a.layers; ++i) {
    types.emplace_back(i >= full ? "sliding_attention" : "full_attention");
  }
  slideByType(a, types, config.contains("sliding_window") ? config.window() : 4096);
}

Architecture qwen2(const Config& config) {
  Architecture a = config.decoder();
  a.bias = {.q = true, .k = true, .v = true};
  slideUpperLayers(config, a);
  return a;
}

constexpr Family kFamilies[] = {
    {"qwen2", qwen2},
};

}  // namespace

std::span<const Family> qwenFamilies() {
  return kFamilies;
}

}  // namespace headscope
