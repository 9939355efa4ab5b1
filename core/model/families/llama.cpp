// Llama and its close relatives: the baseline block, with small differences.

#include "core/model/families/families.h"

namespace headscope {
namespace {

Biases everywhereIf(bool attention, bool mlp) {
  return {.q = attention, .k = attention, .v = attention, .o = attention, .mlp = mlp};
}

// Llama 1 to 3.3, SmolLM 1 and 2, and many others.
Architecture llama(const Config& config) {
  Architecture a = config.decoder();
  a.bias = everywhereIf(config.flag("attention_bias", false), config.flag("mlp_bias", false));
  return a;
}

// Arcee: an MLP without gate.
Architecture arcee(const Config& config) {
  Architecture a = config.decoder({.eps = 1e-5});
  a.bias = everywhereIf(config.flag("attention_bias", false), config.flag("mlp_bias", false));
  a.mlp = MlpForm::Plain;
  a.activation = config.activation("hidden_act", "relu2");
  return a;
}

Architecture seedOss(const Config& config) {
  Architecture a = config.decoder({.headDim = 128});
  a.bias = everywhereIf(config.flag("attention_bias", true), config.flag("mlp_bias", false));
  a.bias.o = config.flag("attention_out_bias", false);
  return a;
}

// ERNIE 4.5: rotates neighbouring dims.
Architecture ernie(const Config& config) {
  Architecture a =
      config.decoder({.ropeBase = 5e5, .pairing = RopePairing::Interleaved, .headDim = 128, .eps = 1e-5, .tied = true});
  const bool bias = config.flag("use_bias", false);
  a.bias = everywhereIf(bias, bias);
  return a;
}

// Helium: rotates neighbouring dims.
Architecture helium(const Config& config) {
  Architecture a = config.decoder({.ropeBase = 1e5, .pairing = RopePairing::Interleaved, .headDim = 128, .eps = 1e-8});
  const bool attention = config.flag("attention_bias", false);
  a.bias = {.q = attention, .k = attention, .v = attention, .mlp = config.flag("mlp_bias", false)};
  return a;
}

// SmolLM3: no_rope_layers is 1 where a layer DOES rotate.
Architecture smollm3(const Config& config) {
  Architecture a = config.decoder({.ropeBase = 2e6, .tied = true});
  a.bias = everywhereIf(config.flag("attention_bias", false), config.flag("mlp_bias", false));
  const std::int64_t interval = config.sizeOr("no_rope_layer_interval", 4);
  std::vector<std::int64_t> rotates = config.integers("no_rope_layers");
  for (auto i = static_cast<std::int64_t>(rotates.size()); i < a.layers; ++i) {
    rotates.push_back((i + 1) % interval != 0 ? 1 : 0);
  }
  std::vector<std::string> types = config.layerTypes(a.layers);
  const bool slides = config.flag("use_sliding_window", false);
  for (std::size_t i = 0; i < a.layer.size(); ++i) {
    a.layer[i].rope = rotates[i] != 0 ? std::optional<int>(0) : std::nullopt;
    if (types.size() == i) {
      types.emplace_back(slides && rotates[i] == 0 ? "sliding_attention" : "full_attention");
    }
  }
  slideByType(a, types, config.window());
  return a;
}

// Apertus: xIELU, QK-norm, and names of its own for the norms.
Architecture apertus(const Config& config) {
  Architecture a =
      config.decoder({.ropeBase = 1.2e7,
                      .rope = R"({"rope_type":"llama3","factor":8.0,"original_max_position_embeddings":8192,)"
                              R"("low_freq_factor":1.0,"high_freq_factor":4.0})",
                      .eps = 1e-5});
  a.bias = everywhereIf(config.flag("attention_bias", false), false);
  a.qkNorm = QkNormForm::Head;
  a.mlp = MlpForm::Plain;
  a.activation = config.activation("hidden_act", "xielu");
  a.names.attentionIn = "attention_layernorm";
  a.names.mlpIn = "feedforward_layernorm";
  return a;
}

// HunYuan: QK-norm after the rotation; "dynamic" with alpha is a fixed stretch of the base.
Architecture hunyuan(const Config& config) {
  Architecture a = config.decoder({.eps = 1e-5});
  a.bias = everywhereIf(config.flag("attention_bias", false), false);
  a.qkNorm = QkNormForm::HeadAfterRope;
  a.names.qNorm = "self_attn.query_layernorm";
  a.names.kNorm = "self_attn.key_layernorm";
  for (RopeParameters& rope : a.ropes) {
    if (rope.kind == RopeKind::Dynamic && rope.alpha != 1.0) {
      rope.kind = RopeKind::NtkAlpha;
    }
  }
  return a;
}

constexpr Family kFamilies[] = {
    {"llama", llama},   {"arcee", arcee},     {"seed_oss", seedOss}, {"ernie4_5", ernie},
    {"helium", helium}, {"smollm3", smollm3}, {"apertus", apertus},  {"hunyuan_v1_dense", hunyuan},
};

}  // namespace

std::span<const Family> llamaFamilies() {
  return kFamilies;
}

}  // namespace headscope
