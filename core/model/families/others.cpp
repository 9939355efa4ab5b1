// Families with one member each: StableLM, StarCoder 2, Nemotron, EXAONE 4, gpt-oss.

#include "core/model/families/families.h"

namespace headscope {
namespace {

Architecture stablelm(const Config& config) {
  Architecture a = config.decoder({.partial = 0.25, .epsKey = "layer_norm_eps", .eps = 1e-5});
  const bool bias = config.flag("use_qkv_bias", false);
  a.norm = NormForm::Layer;
  a.block = config.flag("use_parallel_residual", false) ? BlockForm::ParallelSharedNorm : BlockForm::Pre;
  a.bias = {.q = bias, .k = bias, .v = bias};
  if (config.flag("qk_layernorm", false)) {
    a.qkNorm = QkNormForm::StackedPerHead;
    a.qkNormForm = NormForm::LayerWithoutBias;
    a.names.qNorm = "self_attn.q_layernorm";
    a.names.kNorm = "self_attn.k_layernorm";
  }
  return a;
}

Architecture starcoder2(const Config& config) {
  Architecture a = config.decoder({.epsKey = "norm_epsilon", .eps = 1e-5, .tied = true});
  const bool bias = config.flag("use_bias", true);
  a.norm = NormForm::Layer;
  a.bias = {.q = bias, .k = bias, .v = bias, .o = bias, .mlp = bias};
  a.mlp = MlpForm::Plain;
  a.activation = config.activation("hidden_act", "gelu_pytorch_tanh");
  a.names.up = "mlp.c_fc";
  a.names.down = "mlp.c_proj";
  slideAll(a, config.window());
  return a;
}

Architecture nemotron(const Config& config) {
  Architecture a = config.decoder({.partial = 0.5, .epsKey = "norm_eps", .eps = 1e-5});
  const bool bias = config.flag("attention_bias", false);
  a.norm = NormForm::LayerPlusOne;
  a.bias = {.q = bias, .k = bias, .v = bias, .o = bias, .mlp = config.flag("mlp_bias", false)};
  a.mlp = MlpForm::Plain;
  a.activation = config.activation("hidden_act", "relu2");
  return a;
}

// A number n, or a text such as "LLLG" that repeats; the last layer is full.
std::vector<std::string> exaoneTypes(const Config& config, int layers) {
  std::vector<std::string> types = config.layerTypes(layers);
  std::string pattern = "LLLG";
  if (config.keys().has("sliding_window_pattern")) {
    const Json& given = config.keys().at("sliding_window_pattern");
    pattern =
        given.is_string()
            ? given.get<std::string>()
            : std::string(static_cast<std::size_t>(config.count("sliding_window_pattern", 4, 1, 1 << 12) - 1), 'L') +
                  "G";
  }
  for (auto i = types.size(); i < static_cast<std::size_t>(layers); ++i) {
    const bool local =
        !pattern.empty() && pattern[i % pattern.size()] == 'L' && i + 1 < static_cast<std::size_t>(layers);
    types.emplace_back(local ? "sliding_attention" : "full_attention");
  }
  return types;
}

// EXAONE 4: where some layers slide, only these rotate.
Architecture exaone4(const Config& config) {
  Architecture a = config.decoder({.eps = 1e-5});
  a.block = BlockForm::Post;
  a.qkNorm = QkNormForm::Head;
  const std::optional<std::int64_t> window = config.window(4096);
  if (!window) {
    return a;
  }
  slideByType(a, exaoneTypes(config, a.layers), window);
  for (LayerTraits& layer : a.layer) {
    layer.rope = layer.window ? std::optional<int>(0) : std::nullopt;
  }
  return a;
}

// gpt-oss: a sink logit a head, clamped SwiGLU experts with biases, stored in × out.
Architecture gptOss(const Config& config) {
  Architecture a = config.decoder({.ropeBase = 1.5e5,
                                   .rope = R"({"rope_type":"yarn","factor":32.0,"beta_fast":32.0,"beta_slow":1.0,)"
                                           R"("truncate":false,"original_max_position_embeddings":4096})",
                                   .headDim = 64,
                                   .eps = 1e-5});
  const bool bias = config.flag("attention_bias", true);
  a.bias = {.q = bias, .k = bias, .v = bias, .o = bias};
  a.sinks = true;
  slideByType(a, config.layerTypesOr(a.layers, 2), config.window(128));
  ExpertTraits experts;
  experts.count = config.expertCount("num_local_experts");
  experts.chosen = config.count("num_experts_per_tok", 4, 1, experts.count);
  experts.width = a.mlpWidth;
  experts.layout = ExpertLayout::Interleaved;
  experts.routing = plan::Routing::SoftmaxOverChosen;
  experts.router = "mlp.router";
  experts.routerBias = true;
  experts.activation = plan::Activation::ClampedSwiglu;
  experts.swigluAlpha = config.number("swiglu_alpha", 1.702);
  experts.swigluLimit = config.number("swiglu_limit", 7.0);
  a.experts = experts;
  for (LayerTraits& layer : a.layer) {
    layer.experts = true;
  }
  return a;
}

constexpr Family kFamilies[] = {
    {"stablelm", stablelm}, {"starcoder2", starcoder2}, {"nemotron", nemotron},
    {"exaone4", exaone4},   {"gpt_oss", gptOss},
};

}  // namespace

std::span<const Family> otherFamilies() {
  return kFamilies;
}

}  // namespace headscope
