// Google's Gemma 1 to 4.

#include <algorithm>
#include <cmath>

#include "core/model/families/families.h"

namespace headscope {
namespace {

constexpr const char* kTanhGelu = "gelu_pytorch_tanh";

Architecture gemmaBase(const Config& config, const DecoderDefaults& defaults) {
  Architecture a = config.decoder(defaults);
  if (config.keys().has("use_bidirectional_attention") && config.keys().at("use_bidirectional_attention") != false &&
      config.keys().at("use_bidirectional_attention") != "vision") {
    config.refuse("use_bidirectional_attention: only causal attention is shown here");
  }
  const bool bias = config.flag("attention_bias", false);
  a.bias = {.q = bias, .k = bias, .v = bias, .o = bias};
  a.norm = NormForm::RmsPlusOne;
  a.qkNormForm = NormForm::RmsPlusOne;
  a.embeddingScale = std::sqrt(static_cast<double>(a.hidden));
  a.activation = config.activation("hidden_activation", kTanhGelu);
  return a;
}

// The tanh form even where an old file says "gelu" (transformers#29402).
Architecture gemma(const Config& config) {
  return gemmaBase(config, {.headDim = 256, .tied = true});
}

void sandwich(const Config& config, Architecture& a) {
  a.block = BlockForm::Sandwich;
  a.names.mlpIn = "pre_feedforward_layernorm";
  a.scale = 1 / std::sqrt(config.number("query_pre_attn_scalar", 256));
  if (!(a.scale > 0) || !std::isfinite(a.scale)) {
    config.keys().fail("query_pre_attn_scalar must be positive");
  }
}

Architecture gemma2(const Config& config) {
  Architecture a = gemmaBase(config, {.headDim = 256, .tied = true});
  sandwich(config, a);
  a.softcap = config.contains("attn_logit_softcapping") ? config.optionalNumber("attn_logit_softcapping") : 50.0;
  a.finalSoftcap = config.contains("final_logit_softcapping") ? config.optionalNumber("final_logit_softcapping") : 30.0;
  slideByType(a, config.layerTypesOr(a.layers, 2), config.window(4096));
  return a;
}

// Gemma 3: local layers have a base of their own and no scaling. An attention softcap in the file is not applied,
// as in transformers.
Architecture gemma3(const Config& config) {
  const DecoderDefaults full{.ropeBase = 1e6, .headDim = 256, .tied = true};
  Architecture a = gemmaBase(config, full);
  sandwich(config, a);
  a.qkNorm = QkNormForm::Head;
  a.finalSoftcap = config.optionalNumber("final_logit_softcapping");
  const std::int64_t period = config.sizeOr("sliding_window_pattern", config.sizeOr("_sliding_window_pattern", 6));
  const std::vector<std::string> types = config.layerTypesOr(a.layers, period);
  slideByType(a, types, config.window(4096));
  const DecoderDefaults local{.ropeBase = config.number("rope_local_base_freq", 1e4)};
  rotateByType(a, types, config.ropeOf("full_attention", full, a.headDim),
               config.ropeOf("sliding_attention", local, a.headDim));
  if (config.optionalNumber("attn_logit_softcapping")) {
    a.notes.push_back("attn_logit_softcapping is in the configuration, but Gemma 3 does not apply it");
  }
  return a;
}

// The layer whose k and v a layer of the shared upper part reads: the last one below of its type.
int sharedSource(const std::vector<std::string>& types, int firstShared, int layer, const Config& config) {
  for (int i = firstShared - 1; i >= 0; --i) {
    if (types[static_cast<std::size_t>(i)] == types[static_cast<std::size_t>(layer)]) {
      return i;
    }
  }
  config.keys().fail(concat("num_kv_shared_layers: layer ", layer, " has no earlier layer of its type to read from"));
}

// per_layer_config (transformers 5) or global_head_dim and num_global_key_value_heads (released files).
void gemma4LayerSizes(const Config& config, Architecture& a, const std::vector<std::string>& types) {
  const bool keysAreValues = config.flag("attention_k_eq_v", false);
  const bool listed = config.keys().has("per_layer_config");
  const int globalDim = config.count("global_head_dim", 512, 1, 1 << 16);
  const int globalHeads = config.count("num_global_key_value_heads", a.kvHeads, 1, 1 << 16);
  for (int i = 0; i < a.layers; ++i) {
    LayerTraits& layer = a.layer[static_cast<std::size_t>(i)];
    const bool full = types[static_cast<std::size_t>(i)] == "full_attention";
    layer.valuesAreKeys = full && keysAreValues;
    if (!listed && full) {
      layer.headDim = globalDim;
      layer.kvHeads = keysAreValues ? globalHeads : a.kvHeads;
    }
    const Json* own = nullptr;
    if (listed && config.keys().at("per_layer_config").is_object()) {
      const auto found = config.keys().at("per_layer_config").find(std::to_string(i));
      own = found == config.keys().at("per_layer_config").end() ? nullptr : &*found;
    }
    if (own != nullptr) {
      const JsonReader reader(*own, config.where());
      layer.headDim = static_cast<int>(reader.integerOr("head_dim", layer.headDim, 1, 1 << 16));
      layer.kvHeads = static_cast<int>(reader.integerOr("num_key_value_heads", layer.kvHeads, 1, 1 << 16));
    }
    if (a.heads % layer.kvHeads != 0) {
      config.keys().fail(concat("layer ", i, ": ", layer.kvHeads, " KV heads do not divide ", a.heads, " heads"));
    }
  }
}

void gemma4Sharing(const Config& config, Architecture& a, const std::vector<std::string>& types) {
  const int shared = config.count("num_kv_shared_layers", 0, 0, a.layers - 1);
  const bool doubleWide = config.flag("use_double_wide_mlp", false);
  for (int i = a.layers - shared; i < a.layers; ++i) {
    LayerTraits& layer = a.layer[static_cast<std::size_t>(i)];
    layer.keysFrom = sharedSource(types, a.layers - shared, i, config);
    layer.mlpWidth = doubleWide ? 2 * a.mlpWidth : a.mlpWidth;
  }
}

void gemma4Experts(const Config& config, Architecture& a) {
  if (!config.flag("enable_moe_block", false)) {
    return;
  }
  ExpertTraits experts;
  experts.count = config.expertCount("num_experts");
  experts.chosen = static_cast<int>(config.keys().integer("top_k_experts", 1, experts.count));
  experts.width = config.size("moe_intermediate_size");
  experts.layout = ExpertLayout::Fused;
  experts.renormalise = true;
  experts.router = "router.proj";
  experts.fusedGateUp = "experts.gate_up_proj";
  experts.fusedDown = "experts.down_proj";
  experts.activation = a.activation;
  experts.besideDense = true;
  a.experts = experts;
  for (LayerTraits& layer : a.layer) {
    layer.experts = true;
  }
}

Architecture gemma4(const Config& config) {
  Architecture a = gemmaBase(config, {.headDim = 256, .tied = true});
  a.block = BlockForm::Sandwich;
  a.names.mlpIn = "pre_feedforward_layernorm";
  a.norm = a.qkNormForm = NormForm::Rms;
  a.qkNorm = QkNormForm::Head;
  a.valueNorm = true;
  a.scale = 1;
  a.layerScalar = true;
  a.finalSoftcap = config.optionalNumber("final_logit_softcapping");
  std::vector<std::string> types = config.layerTypesOr(a.layers, 6);
  types.back() = "full_attention";
  slideByType(a, types, config.window(512));
  gemma4LayerSizes(config, a, types);
  gemma4Sharing(config, a, types);
  gemma4Experts(config, a);
  a.perLayerInput = config.count("hidden_size_per_layer_input", 256, 0, 1 << 16);
  a.perLayerVocab = config.sizeOr("vocab_size_per_layer_input", a.vocab);
  const auto firstFull = std::find(types.begin(), types.end(), "full_attention") - types.begin();
  const int fullDim = a.layer[static_cast<std::size_t>(firstFull)].headDim;
  RopeParameters full = config.ropeOf("full_attention", {.ropeBase = 1e6, .partial = 0.25}, fullDim);
  if (!config.ropeByLayerType()) {
    full.kind = RopeKind::Proportional;
  }
  rotateByType(a, types, full, config.ropeOf("sliding_attention", {}, a.headDim));
  return a;
}

constexpr Family kFamilies[] = {
    {"gemma", gemma},
    {"gemma2", gemma2},
    {"gemma3_text", gemma3},
    {"gemma4_text", gemma4},
};

}  // namespace

std::span<const Family> gemmaFamilies() {
  return kFamilies;
}

}  // namespace headscope
