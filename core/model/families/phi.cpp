// Microsoft's Phi models.

#include "core/model/families/families.h"

namespace headscope {
namespace {

// Phi-1 to Phi-2: a parallel block with one norm, biases everywhere.
Architecture phi(const Config& config) {
  Architecture a = config.decoder({.partial = 0.5, .epsKey = "layer_norm_eps", .eps = 1e-5});
  a.norm = NormForm::Layer;
  a.block = BlockForm::ParallelSharedNorm;
  a.bias = {.q = true, .k = true, .v = true, .o = true, .mlp = true, .head = true};
  a.mlp = MlpForm::Plain;
  a.activation = config.activation("hidden_act", "gelu_new");
  if (config.flag("qk_layernorm", false)) {
    a.qkNorm = QkNormForm::Head;
    a.qkNormForm = NormForm::Layer;
  }
  a.names.o = "self_attn.dense";
  a.names.qNorm = "self_attn.q_layernorm";
  a.names.kNorm = "self_attn.k_layernorm";
  a.names.up = "mlp.fc1";
  a.names.down = "mlp.fc2";
  a.names.finalNorm = "model.final_layernorm";
  return a;
}

// Phi-3, 3.5, 4, 4-mini: fused projections. "su" and "yarn" are old names of longrope; the original context is a
// key of its own here, and goes before that of the RoPE dictionary.
Architecture phi3(const Config& config) {
  Architecture a = config.decoder({.oldLongRopeNames = true, .eps = 1e-5});
  a.qkv = QkvLayout::Concatenated;
  a.mlp = MlpForm::FusedGated;
  slideAll(a, config.window());
  return a;
}

constexpr Family kFamilies[] = {
    {"phi", phi},
    {"phi3", phi3},
};

}  // namespace

std::span<const Family> phiFamilies() {
  return kFamilies;
}

}  // namespace headscope
