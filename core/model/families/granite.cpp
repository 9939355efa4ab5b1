// IBM's Granite 3 and 4: four multipliers.

#include "core/model/families/families.h"

namespace headscope {
namespace {

Architecture multiplied(const Config& config) {
  Architecture a = config.decoder();
  const bool bias = config.flag("attention_bias", false);
  a.bias = {.q = bias, .k = bias, .v = bias, .o = bias};
  a.scale = config.number("attention_multiplier", 1.0);
  a.embeddingScale = config.number("embedding_multiplier", 1.0);
  a.residualScale = config.number("residual_multiplier", 1.0);
  const double divisor = config.number("logits_scaling", 1.0);
  if (divisor == 0 || a.scale == 0) {
    config.keys().fail("logits_scaling and attention_multiplier must not be 0");
  }
  a.logitScale = 1 / divisor;
  return a;
}

Architecture granite(const Config& config) {
  Architecture a = multiplied(config);
  a.bias.mlp = config.flag("mlp_bias", false);
  return a;
}

void addExperts(const Config& config, Architecture& a) {
  ExpertTraits experts;
  experts.count = config.expertCount("num_local_experts");
  experts.chosen = config.count("num_experts_per_tok", 2, 1, experts.count);
  experts.width = a.mlpWidth;
  experts.layout = ExpertLayout::Fused;
  experts.routing = plan::Routing::SoftmaxOverChosen;
  experts.router = "block_sparse_moe.router.layer";
  experts.fusedGateUp = "block_sparse_moe.input_linear.weight";
  experts.fusedDown = "block_sparse_moe.output_linear.weight";
  experts.activation = a.activation;
  a.experts = experts;
  for (LayerTraits& layer : a.layer) {
    layer.experts = true;
  }
}

Architecture graniteMoe(const Config& config) {
  Architecture a = multiplied(config);
  addExperts(config, a);
  return a;
}

// Granite 4: only the models whose layers are all attention; without layer_types they would all be state-space ones.
Architecture graniteHybrid(const Config& config) {
  Architecture a = multiplied(config);
  if (config.layerTypes(a.layers).empty()) {
    config.refuse("without layer_types all layers of granitemoehybrid are state-space layers, which have no attention");
  }
  if (config.count("num_local_experts", 8, 0, 1 << 16) > 0) {
    config.refuse("granitemoehybrid with experts is not covered: only the dense models are");
  }
  a.mlp = MlpForm::FusedGated;
  a.names.gateUp = "shared_mlp.input_linear";
  a.names.down = "shared_mlp.output_linear";
  const std::int64_t width = config.sizeOr("shared_intermediate_size", 1024);
  const bool rotates = config.keys().stringOr("position_embedding_type", "nope") == "rope";
  for (LayerTraits& layer : a.layer) {
    layer.mlpWidth = width;
    layer.rope = rotates ? std::optional<int>(0) : std::nullopt;
  }
  return a;
}

constexpr Family kFamilies[] = {
    {"granite", granite},
    {"granitemoe", graniteMoe},
    {"granitemoehybrid", graniteHybrid},
};

}  // namespace

std::span<const Family> graniteFamilies() {
  return kFamilies;
}

}  // namespace headscope
