// Mistral AI's models.

#include "core/model/families/families.h"

namespace headscope {
namespace {

// Mistral-7B to Nemo: all layers slide if there is a window.
Architecture mistral(const Config& config) {
  Architecture a = config.decoder();
  slideAll(a, config.window(4096));
  return a;
}

// Ministral (2024): layer_types; without them all layers slide.
Architecture ministral(const Config& config) {
  Architecture a = config.decoder();
  const std::vector<std::string> types = config.layerTypes(a.layers);
  const std::optional<std::int64_t> window = config.window(4096);
  if (types.empty()) {
    slideAll(a, window);
  } else {
    slideByType(a, types, window);
  }
  return a;
}

// Ministral 3: q grows with the position, after RoPE.
Architecture ministral3(const Config& config) {
  const DecoderDefaults defaults{
      .rope = R"({"rope_type":"yarn","rope_theta":1000000.0,"factor":16.0,"beta_fast":32.0,"beta_slow":1.0,)"
              R"("original_max_position_embeddings":16384,"mscale":1.0,"mscale_all_dim":1.0,)"
              R"("llama_4_scaling_beta":0.1})",
      .headDim = 128,
      .eps = 1e-5};
  Architecture a = config.decoder(defaults);
  slideAll(a, config.window());
  a.positionBeta = config.ropeNumber("llama_4_scaling_beta", defaults);
  a.positionOriginal = static_cast<std::int64_t>(config.ropeNumber("original_max_position_embeddings", defaults));
  if (a.positionOriginal < 1) {
    config.keys().fail("original_max_position_embeddings must be at least 1");
  }
  return a;
}

Architecture mixtral(const Config& config) {
  Architecture a = config.decoder({.ropeBase = 1e6, .eps = 1e-5});
  slideAll(a, config.window());
  ExpertTraits experts;
  experts.count = config.expertCount("num_local_experts");
  experts.chosen = config.count("num_experts_per_tok", 2, 1, experts.count);
  experts.width = a.mlpWidth;
  experts.renormalise = true;
  experts.router = "block_sparse_moe.gate";
  experts.prefix = "block_sparse_moe.experts.";
  experts.gate = "w1";
  experts.up = "w3";
  experts.down = "w2";
  experts.activation = a.activation;
  a.experts = experts;
  for (LayerTraits& layer : a.layer) {
    layer.experts = true;
  }
  return a;
}

constexpr Family kFamilies[] = {
    {"mistral", mistral},
    {"ministral", ministral},
    {"ministral3", ministral3},
    {"mixtral", mixtral},
};

}  // namespace

std::span<const Family> mistralFamilies() {
  return kFamilies;
}

}  // namespace headscope
