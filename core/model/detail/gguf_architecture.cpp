#include "core/model/detail/gguf_architecture.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/files/gguf_reader.h"

namespace headscope {
namespace {

constexpr std::int64_t kSizeLimit = std::int64_t{1} << 31;

void noKeys(const GgufMetadata&, const GgufFile&, Json&) {}
void asIs(const GgufMetadata&, const GgufFile&, Architecture&) {}

// --- keys ---------------------------------------------------------------------------------------------------------

void expertKeys(const GgufMetadata& metadata, const GgufFile&, Json& config) {
  config["num_experts"] = config["num_local_experts"] = metadata.integer("expert_count", 1, 1024);
  config["num_experts_per_tok"] = metadata.integer("expert_used_count", 1, 1024);
  if (metadata.has("expert_feed_forward_length")) {
    config["moe_intermediate_size"] = metadata.integer("expert_feed_forward_length", 1, kSizeLimit);
  }
}

// Those experts take `intermediate_size`, which a file may give under the experts' own key.
void onlyExpertsKeys(const GgufMetadata& metadata, const GgufFile& file, Json& config) {
  expertKeys(metadata, file, config);
  if (config.contains("moe_intermediate_size")) {
    config["intermediate_size"] = config.at("moe_intermediate_size");
  }
}

// sliding_window_pattern: for each layer whether it slides, or a period whose last layer is full.
void layerTypeKeys(const GgufMetadata& metadata, const GgufFile& file, std::int64_t period, Json& config) {
  constexpr const char* kPattern = "attention.sliding_window_pattern";
  const auto layers = config.at("num_hidden_layers").get<std::int64_t>();
  std::vector<std::int64_t> slides;
  if (metadata.isArray(kPattern)) {
    slides = GgufReader(file).perLayer(std::string(".") + kPattern, layers, 0, 1);
  } else {
    period = metadata.integerOr(kPattern, period, 1, 1 << 16);
    for (std::int64_t i = 0; i < layers; ++i) {
      slides.push_back((i + 1) % period != 0 ? 1 : 0);
    }
  }
  config["layer_types"] = Json::array();
  for (const std::int64_t one : slides) {
    config["layer_types"].push_back(one != 0 ? "sliding_attention" : "full_attention");
  }
}

// Mixtral's files say "llama" too.
void llamaKeys(const GgufMetadata& metadata, const GgufFile& file, Json& config) {
  if (metadata.integerOr("expert_count", 0, 0, 1024) > 0) {
    config["model_type"] = "mixtral";
    expertKeys(metadata, file, config);
  }
}

// llama.cpp never renormalises the chosen experts of Qwen 2, as released configurations don't.
void qwen2MoeKeys(const GgufMetadata& metadata, const GgufFile& file, Json& config) {
  expertKeys(metadata, file, config);
  const auto width = config.at("intermediate_size").get<std::int64_t>();
  const auto chosen = config.at("num_experts_per_tok").get<std::int64_t>();
  if (!config.contains("moe_intermediate_size")) {
    config["moe_intermediate_size"] = width / chosen;
  }
  config["shared_expert_intermediate_size"] =
      metadata.integerOr("expert_shared_feed_forward_length", width, 1, kSizeLimit);
  config["norm_topk_prob"] = metadata.flagOr("expert_weights_norm", false);
}

// llama.cpp renormalises the chosen experts of Qwen 3 whatever the file says: released configurations do as well.
void qwen3MoeKeys(const GgufMetadata& metadata, const GgufFile& file, Json& config) {
  expertKeys(metadata, file, config);
  config["norm_topk_prob"] = metadata.flagOr("expert_weights_norm", true);
}

// The scale is D^-0.5, but (E/H)^-0.5 for the 27B models, which are known by their number of layers.
void gemma2Keys(const GgufMetadata& metadata, const GgufFile&, Json& config) {
  metadata.copyNumber("attn_logit_softcapping", config, "attn_logit_softcapping");
  metadata.copyNumber("final_logit_softcapping", config, "final_logit_softcapping");
  const bool largest = config.at("num_hidden_layers") == 46;
  config["query_pre_attn_scalar"] =
      largest ? config.at("hidden_size").get<double>() / config.at("num_attention_heads").get<double>()
              : config.at("head_dim").get<double>();
}

void gemma3Keys(const GgufMetadata& metadata, const GgufFile&, Json& config) {
  const bool largest = config.at("num_hidden_layers") == 62;
  config["query_pre_attn_scalar"] =
      largest ? config.at("hidden_size").get<double>() / config.at("num_attention_heads").get<double>()
              : config.at("head_dim").get<double>();
  config["sliding_window_pattern"] = 6;
  metadata.copyNumber("final_logit_softcapping", config, "final_logit_softcapping");
  metadata.copyNumber("rope.freq_base_swa", config, "rope_local_base_freq");
}

void gptNeoxKeys(const GgufMetadata& metadata, const GgufFile&, Json& config) {
  config["use_parallel_residual"] = metadata.flagOr("use_parallel_residual", true);
  config["rotary_emb_base"] = config.at("rope_theta");
  config["rotary_pct"] = config.value("partial_rotary_factor", 1.0);
}

void stablelmKeys(const GgufMetadata&, const GgufFile& file, Json& config) {
  config["use_parallel_residual"] = file.find("blk.0.ffn_norm.weight") == nullptr;
  config["qk_layernorm"] = file.find("blk.0.attn_q_norm.weight") != nullptr;
}

void olmoKeys(const GgufMetadata& metadata, const GgufFile&, Json& config) {
  metadata.copyNumber("attention.clamp_kqv", config, "clip_qkv");
}

// Files of OLMo 3 call themselves olmo2 and have a window: scaling is for full layers only.
void olmo2Keys(const GgufMetadata& metadata, const GgufFile& file, Json& config) {
  if (metadata.integerOr("attention.sliding_window", 0, 0, kSizeLimit) == 0) {
    config.erase("sliding_window");
    return;
  }
  config["model_type"] = "olmo3";
  layerTypeKeys(metadata, file, 4, config);
  Json full = config.value("rope_scaling", Json{{"rope_type", "default"}});
  const double base = config.at("rope_theta").get<double>();
  full["rope_theta"] = base;
  const double own = metadata.number("rope.freq_base_swa").value_or(base);
  config.erase("rope_scaling");
  config["rope_parameters"] = {{"full_attention", full},
                               {"sliding_attention", {{"rope_type", "default"}, {"rope_theta", own}}}};
}

void olmoeKeys(const GgufMetadata& metadata, const GgufFile& file, Json& config) {
  onlyExpertsKeys(metadata, file, config);
  olmoKeys(metadata, file, config);
  config["norm_topk_prob"] = metadata.flagOr("expert_weights_norm", false);
}

// Without a window all layers are full and rotate; the 64 layers of EXAONE 4 32B have one whatever the file says.
void exaone4Keys(const GgufMetadata& metadata, const GgufFile& file, Json& config) {
  if (config.at("num_hidden_layers") == 64 && !config.contains("sliding_window")) {
    config["sliding_window"] = 4096;
  }
  if (config.value("sliding_window", 0) == 0) {
    config["sliding_window"] = nullptr;
    return;
  }
  layerTypeKeys(metadata, file, 4, config);
}

// Ministral 3 says by temperature_scale that q grows with the position; other files are of Mistral's own models,
// without a window.
void mistral3Keys(const GgufMetadata& metadata, const GgufFile&, Json& config) {
  const std::optional<double> beta = metadata.number("attention.temperature_scale");
  if (!beta) {
    config["model_type"] = "mistral";
    config["sliding_window"] = config.value("sliding_window", 0);
    return;
  }
  config["rope_scaling"]["llama_4_scaling_beta"] = *beta;
}

void graniteKeys(const GgufMetadata& metadata, const GgufFile&, Json& config) {
  metadata.copyNumber("attention.scale", config, "attention_multiplier");
  metadata.copyNumber("embedding_scale", config, "embedding_multiplier");
  metadata.copyNumber("residual_scale", config, "residual_multiplier");
  metadata.copyNumber("logit_scale", config, "logits_scaling");
}

void graniteMoeKeys(const GgufMetadata& metadata, const GgufFile& file, Json& config) {
  graniteKeys(metadata, file, config);
  expertKeys(metadata, file, config);
}

// GLM 4.5: sigmoid routing, a correction for the choice, shared experts; the first layers are dense.
void glm4MoeKeys(const GgufMetadata& metadata, const GgufFile& file, Json& config) {
  constexpr std::int64_t kSigmoid = 2;
  expertKeys(metadata, file, config);
  metadata.integerOr("expert_gating_func", kSigmoid, kSigmoid, kSigmoid);
  config["n_routed_experts"] = config.at("num_experts");
  config["n_shared_experts"] = metadata.integerOr("expert_shared_count", 0, 0, 1 << 10);
  config["first_k_dense_replace"] = metadata.integerOr("leading_dense_block_count", 0, 0, 1 << 16);
  config["n_group"] = std::max<std::int64_t>(1, metadata.integerOr("expert_group_count", 1, 0, 1024));
  config["topk_group"] = std::max<std::int64_t>(1, metadata.integerOr("expert_group_used_count", 1, 0, 1024));
  config["routed_scaling_factor"] = metadata.number("expert_weights_scale").value_or(1.0);
  config["norm_topk_prob"] = metadata.flagOr("expert_weights_norm", false);
  config["use_qk_norm"] = file.find("blk.0.attn_q_norm.weight") != nullptr;
}

// The ramp of gpt-oss is not rounded to whole dims; GGUF has no key for that.
void gptOssKeys(const GgufMetadata& metadata, const GgufFile& file, Json& config) {
  onlyExpertsKeys(metadata, file, config);
  if (config.contains("rope_scaling")) {
    config["rope_scaling"]["truncate"] = false;
  }
}

// Older files of Phi-3 mini and medium with 4K context lack their window.
void phi3Keys(const GgufMetadata&, const GgufFile&, Json& config) {
  const auto layers = config.at("num_hidden_layers").get<std::int64_t>();
  if (!config.contains("sliding_window") && (layers == 32 || layers == 40) &&
      config.at("max_position_embeddings") == 4096) {
    config["sliding_window"] = 2047;
  }
}

void cohereKeys(const GgufMetadata& metadata, const GgufFile& file, Json& config) {
  metadata.copyNumber("logit_scale", config, "logit_scale");
  config["use_qk_norm"] = file.find("blk.0.attn_q_norm.weight") != nullptr;
}

// --- what is stored differently -----------------------------------------------------------------------------------

// The converter has added the 1 of 1 + w.
void onesAdded(const GgufMetadata&, const GgufFile&, Architecture& a) {
  a.norm = a.norm == NormForm::RmsPlusOne ? NormForm::Rms : a.norm == NormForm::LayerPlusOne ? NormForm::Layer : a.norm;
  a.qkNormForm = a.qkNormForm == NormForm::RmsPlusOne ? NormForm::Rms : a.qkNormForm;
}

void fusedInUp(const GgufMetadata&, const GgufFile&, Architecture& a) {
  a.names.gateUp = "ffn_up";
}
void rowsRegrouped(const GgufMetadata&, const GgufFile&, Architecture& a) {
  a.qkv = QkvLayout::Concatenated;
}

void normsStacked(const GgufMetadata&, const GgufFile&, Architecture& a) {
  a.qkNorm = a.qkNorm == QkNormForm::StackedPerHead ? QkNormForm::OwnPerHead : a.qkNorm;
}

void gptOssBiases(const GgufMetadata&, const GgufFile&, Architecture& a) {
  a.experts->stackedBias = true;
}

// xIELU's numbers are metadata: one a layer, or one for all.
void xieluNumbers(const GgufMetadata&, const GgufFile& file, Architecture& a) {
  const GgufReader reader(file);
  const auto layers = static_cast<std::size_t>(a.layers);
  const auto read = [&](const char* key) {
    const GgufValue* value = file.value(key);
    if (value != nullptr && !std::holds_alternative<GgufArray>(*value)) {
      return std::vector<double>(layers, reader.number(key));
    }
    std::vector<double> numbers = reader.numbers(key, layers);
    const bool finite = std::all_of(numbers.begin(), numbers.end(), [](double x) { return std::isfinite(x); });
    if (numbers.size() != layers || !finite) {
      throw Error(a.where, concat("\"", key, "\" must hold ", layers, " finite numbers, one a layer"));
    }
    return numbers;
  };
  const std::vector<double> alphaP = read("xielu.alpha_p"), alphaN = read("xielu.alpha_n");
  const std::vector<double> beta = read("xielu.beta"), eps = read("xielu.eps");
  for (std::size_t i = 0; i < layers; ++i) {
    a.layer[i].xielu = plan::XIeluNumbers{alphaP[i], alphaN[i], beta[i], eps[i]};
  }
}

// Granite 4 without positions: the key that says "scaling is finetuned" switches RoPE.
void unrotatedIfAsked(const GgufMetadata& metadata, const GgufFile&, Architecture& a) {
  if (!metadata.flagOr("rope.scaling.finetuned", true)) {
    for (LayerTraits& layer : a.layer) {
      layer.rope.reset();
    }
  }
}

constexpr GgufArchitecture kArchitectures[] = {
    {"llama", "llama", true, llamaKeys, asIs},
    {"mistral3", "ministral3", true, mistral3Keys, asIs},
    {"arcee", "arcee", true, noKeys, asIs},
    {"seed_oss", "seed_oss", false, noKeys, asIs},
    {"apertus", "apertus", false, noKeys, xieluNumbers},
    {"hunyuan-dense", "hunyuan_v1_dense", false, noKeys, asIs},
    {"qwen2", "qwen2", false, noKeys, asIs},
    {"qwen2moe", "qwen2_moe", false, qwen2MoeKeys, asIs},
    {"qwen3", "qwen3", false, noKeys, asIs},
    {"qwen3moe", "qwen3_moe", false, qwen3MoeKeys, asIs},
    {"smollm3", "smollm3", true, noKeys, asIs},
    {"ernie4_5", "ernie4_5", false, noKeys, asIs},
    {"phi2", "phi", false, noKeys, asIs},
    {"phi3", "phi3", false, phi3Keys, fusedInUp},
    {"gemma", "gemma", false, noKeys, onesAdded},
    {"gemma2", "gemma2", false, gemma2Keys, onesAdded},
    {"gemma3", "gemma3_text", false, gemma3Keys, onesAdded},
    {"gptneox", "gpt_neox", false, gptNeoxKeys, rowsRegrouped},
    {"stablelm", "stablelm", false, stablelmKeys, normsStacked},
    {"starcoder2", "starcoder2", false, noKeys, asIs},
    {"nemotron", "nemotron", false, noKeys, onesAdded},
    {"exaone4", "exaone4", false, exaone4Keys, asIs},
    {"olmo", "olmo", true, olmoKeys, asIs},
    {"olmo2", "olmo2", false, olmo2Keys, asIs},
    {"olmoe", "olmoe", false, olmoeKeys, asIs},
    {"granite", "granite", true, graniteKeys, unrotatedIfAsked},
    {"granitemoe", "granitemoe", true, graniteMoeKeys, unrotatedIfAsked},
    {"command-r", "cohere", false, cohereKeys, asIs},
    {"cohere2", "cohere2", false, cohereKeys, asIs},
    {"chatglm", "glm", false, noKeys, fusedInUp},
    {"glm4", "glm4", false, noKeys, fusedInUp},
    {"glm4moe", "glm4_moe", false, glm4MoeKeys, asIs},
    {"gpt-oss", "gpt_oss", false, gptOssKeys, gptOssBiases},
};

constexpr const char* kLatent = "its keys and values are stored as a compressed latent, not per head";
constexpr const char* kHybrid =
    "it has state-space, linear-attention or convolution layers, which have no attention map";
constexpr const char* kNoRope = "its attention is not plain softmax attention with rotary positions";
constexpr const char* kEncoder = "it is no causal decoder";
constexpr const char* kFolderOnly = "its tensors are not described for GGUF here; the Hugging Face folder can be read";

constexpr std::pair<const char*, const char*> kRefused[] = {
    {"gemma4", kFolderOnly},  {"deepseek2", kLatent},   {"minicpm3", kLatent},      {"plm", kLatent},
    {"mistral4", kLatent},    {"kimi-linear", kLatent}, {"mamba", kHybrid},         {"mamba2", kHybrid},
    {"jamba", kHybrid},       {"falcon-h1", kHybrid},   {"granitehybrid", kHybrid}, {"nemotron_h", kHybrid},
    {"lfm2", kHybrid},        {"lfm2moe", kHybrid},     {"plamo2", kHybrid},        {"qwen3next", kHybrid},
    {"qwen35", kHybrid},      {"qwen35moe", kHybrid},   {"rwkv6", kHybrid},         {"rwkv7", kHybrid},
    {"gpt2", kNoRope},        {"mpt", kNoRope},         {"bloom", kNoRope},         {"starcoder", kNoRope},
    {"llama4", kNoRope},      {"gemma3n", kNoRope},     {"bert", kEncoder},         {"modern-bert", kEncoder},
    {"nomic-bert", kEncoder}, {"t5", kEncoder},         {"t5encoder", kEncoder},    {"gemma-embedding", kEncoder},
};

}  // namespace

const GgufArchitecture& findGgufArchitecture(const GgufMetadata& metadata, const std::string& where) {
  for (const GgufArchitecture& architecture : kArchitectures) {
    if (metadata.architecture() == architecture.name) {
      return architecture;
    }
  }
  const auto* refused = std::find_if(std::begin(kRefused), std::end(kRefused),
                                     [&](const auto& entry) { return metadata.architecture() == entry.first; });
  if (refused != std::end(kRefused)) {
    throw Error(where, concat("architecture \"", metadata.architecture(), "\" can't be shown: ", refused->second),
                ErrorKind::Unsupported);
  }
  throw Error(where,
              concat("architecture \"", metadata.architecture(),
                     "\" is not covered as GGUF: the plain Hugging Face folder may be, or a description of its "
                     "tensors is needed"),
              ErrorKind::Unsupported);
}

}  // namespace headscope
