// GPT-NeoX and Pythia.

#include "core/model/families/families.h"

namespace headscope {
namespace {

// Reads rotary_pct and rotary_emb_base only; rope_theta and partial_rotary_factor at the top level do not count.
Architecture gptNeox(const Config& config) {
  const DecoderDefaults defaults{.ropeBase = config.number("rotary_emb_base", 1e4),
                                 .partial = config.number("rotary_pct", 0.25),
                                 .topLevelRope = false,
                                 .epsKey = "layer_norm_eps",
                                 .eps = 1e-5};
  Architecture a = config.decoder(defaults);
  const bool bias = config.flag("attention_bias", true);
  a.norm = NormForm::Layer;
  a.block = config.flag("use_parallel_residual", true) ? BlockForm::Parallel : BlockForm::Pre;
  a.qkv = QkvLayout::PerHead;
  a.bias = {.q = bias, .k = bias, .v = bias, .o = bias, .mlp = true};
  a.mlp = MlpForm::Plain;
  a.activation = config.activation("hidden_act", "gelu");
  a.names.embedding = "gpt_neox.embed_in";
  a.names.layerPrefix = "gpt_neox.layers.";
  a.names.finalNorm = "gpt_neox.final_layer_norm";
  a.names.head = "embed_out";
  a.names.qkv = "attention.query_key_value";
  a.names.o = "attention.dense";
  a.names.up = "mlp.dense_h_to_4h";
  a.names.down = "mlp.dense_4h_to_h";
  return a;
}

constexpr Family kFamilies[] = {
    {"gpt_neox", gptNeox},
};

}  // namespace

std::span<const Family> gptNeoxFamilies() {
  return kFamilies;
}

}  // namespace headscope
