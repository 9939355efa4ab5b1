// Zhipu's GLM-4 and GLM-4.5.

#include "core/model/families/families.h"

namespace headscope {
namespace {

// GLM-4-9B: half of the dims rotate, in neighbouring pairs.
Architecture glm(const Config& config) {
  Architecture a =
      config.decoder({.partial = 0.5, .pairing = RopePairing::Interleaved, .headDim = 128, .eps = 1.5625e-7});
  const bool bias = config.flag("attention_bias", true);
  a.bias = {.q = bias, .k = bias, .v = bias};
  a.mlp = MlpForm::FusedGated;
  return a;
}

// GLM-4-0414: norms on both sides of attention and MLP.
Architecture glm4(const Config& config) {
  Architecture a = glm(config);
  a.block = BlockForm::Sandwich;
  a.names.attentionOut = "post_self_attn_layernorm";
  a.names.mlpOut = "post_mlp_layernorm";
  return a;
}

// GLM-4.5: split halves rotate, unlike the two above; sigmoid routing within groups.
Architecture glm4Moe(const Config& config) {
  Architecture a = config.decoder({.partial = 0.5, .eps = 1e-5});
  const bool bias = config.flag("attention_bias", false);
  a.bias = {.q = bias, .k = bias, .v = bias};
  a.qkNorm = config.flag("use_qk_norm", false) ? QkNormForm::Head : QkNormForm::None;
  ExpertTraits experts;
  experts.count = config.expertCount("n_routed_experts");
  experts.chosen = config.count("num_experts_per_tok", 8, 1, experts.count);
  experts.width = config.size("moe_intermediate_size");
  experts.routing = plan::Routing::Sigmoid;
  experts.correction = "mlp.gate.e_score_correction_bias";
  experts.renormalise = config.flag("norm_topk_prob", true);
  experts.renormaliseEps = 1e-20;
  experts.weightScale = config.number("routed_scaling_factor", 1.0);
  experts.groups = config.count("n_group", 1, 1, experts.count);
  experts.chosenGroups = config.count("topk_group", 1, 1, experts.groups);
  if (experts.count % experts.groups != 0 || experts.count / experts.groups < 2) {
    config.keys().fail(concat("n_group ", experts.groups, " does not split ", experts.count, " experts"));
  }
  experts.shared = "mlp.shared_experts.";
  experts.sharedWidth = experts.width * config.count("n_shared_experts", 1, 0, 1 << 10);
  experts.activation = a.activation;
  a.experts = experts;
  const int dense = config.count("first_k_dense_replace", 1, 0, 1 << 20);
  for (int i = dense; i < a.layers; ++i) {
    a.layer[static_cast<std::size_t>(i)].experts = true;
  }
  return a;
}

constexpr Family kFamilies[] = {
    {"glm", glm},
    {"glm4", glm4},
    {"glm4_moe", glm4Moe},
};

}  // namespace

std::span<const Family> glmFamilies() {
  return kFamilies;
}

}  // namespace headscope
