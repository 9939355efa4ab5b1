#include "core/model/detail/gguf_model.h"

#include <cmath>
#include <utility>

#include "core/base/error.h"
#include "core/files/dequantize.h"
#include "core/files/gguf.h"
#include "core/model/detail/config.h"
#include "core/model/detail/gguf_metadata.h"
#include "core/model/families/families.h"

namespace headscope {
namespace {

constexpr std::int64_t kSizeLimit = std::int64_t{1} << 31;

/// One architecture of llama.cpp: the family that it belongs to, and what its files hold differently.
struct GgufArchitecture {
  const char* name;
  const char* modelType;
  bool pairedRows;  ///< q and k rows are stored for a rotation of neighbouring dims
  void (*keys)(const GgufMetadata& metadata, const GgufFile& file, Json& config);  ///< more keys for the family
  void (*adapt)(Architecture& architecture);
};

void copyNumber(const GgufMetadata& metadata, const char* from, Json& config, const char* to) {
  if (const std::optional<double> value = metadata.number(from)) {
    config[to] = *value;
  }
}

void noKeys(const GgufMetadata&, const GgufFile&, Json&) {}
void asIs(Architecture&) {}

// --- keys ---------------------------------------------------------------------------------------------------------

void expertKeys(const GgufMetadata& metadata, const GgufFile&, Json& config) {
  config["num_experts"] = config["num_local_experts"] = metadata.integer("expert_count", 1, 1024);
  config["num_experts_per_tok"] = metadata.integer("expert_used_count", 1, 1024);
  if (metadata.has("expert_feed_forward_length")) {
    config["moe_intermediate_size"] = metadata.integer("expert_feed_forward_length", 1, kSizeLimit);
  }
}

// Mixtral's files say "llama" too.
void llamaKeys(const GgufMetadata& metadata, const GgufFile& file, Json& config) {
  if (metadata.integerOr("expert_count", 0, 0, 1024) > 0) {
    config["model_type"] = "mixtral";
    expertKeys(metadata, file, config);
  }
}

// llama.cpp renormalises the chosen experts of Qwen 3 whatever the file says: released configurations do as well.
void qwen3MoeKeys(const GgufMetadata& metadata, const GgufFile& file, Json& config) {
  expertKeys(metadata, file, config);
  config["norm_topk_prob"] = true;
}

// The scale is D^-0.5, but (E/H)^-0.5 for the 27B models, which are known by their number of layers.
void gemma2Keys(const GgufMetadata& metadata, const GgufFile&, Json& config) {
  copyNumber(metadata, "attn_logit_softcapping", config, "attn_logit_softcapping");
  copyNumber(metadata, "final_logit_softcapping", config, "final_logit_softcapping");
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
  copyNumber(metadata, "final_logit_softcapping", config, "final_logit_softcapping");
  copyNumber(metadata, "rope.freq_base_swa", config, "rope_local_base_freq");
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
  copyNumber(metadata, "attention.clamp_kqv", config, "clip_qkv");
}

void graniteKeys(const GgufMetadata& metadata, const GgufFile&, Json& config) {
  copyNumber(metadata, "attention.scale", config, "attention_multiplier");
  copyNumber(metadata, "embedding_scale", config, "embedding_multiplier");
  copyNumber(metadata, "residual_scale", config, "residual_multiplier");
  copyNumber(metadata, "logit_scale", config, "logits_scaling");
}

void graniteMoeKeys(const GgufMetadata& metadata, const GgufFile& file, Json& config) {
  graniteKeys(metadata, file, config);
  expertKeys(metadata, file, config);
}

void cohereKeys(const GgufMetadata& metadata, const GgufFile& file, Json& config) {
  copyNumber(metadata, "logit_scale", config, "logit_scale");
  config["use_qk_norm"] = file.find("blk.0.attn_q_norm.weight") != nullptr;
}

// --- what is stored differently -----------------------------------------------------------------------------------

// The converter has added the 1 of 1 + w.
void onesAdded(Architecture& a) {
  a.norm = a.norm == NormForm::RmsPlusOne ? NormForm::Rms : a.norm;
  a.qkNormForm = a.qkNormForm == NormForm::RmsPlusOne ? NormForm::Rms : a.qkNormForm;
}

void fusedInUp(Architecture& a) {
  a.names.gateUp = "ffn_up";
}
void rowsRegrouped(Architecture& a) {
  a.qkv = QkvLayout::Concatenated;
}

void normsStacked(Architecture& a) {
  a.qkNorm = a.qkNorm == QkNormForm::StackedPerHead ? QkNormForm::OwnPerHead : a.qkNorm;
}

void gptOssBiases(Architecture& a) {
  a.experts->stackedBias = true;
}

constexpr GgufArchitecture kArchitectures[] = {
    {"llama", "llama", true, llamaKeys, asIs},
    {"qwen2", "qwen2", false, noKeys, asIs},
    {"qwen3", "qwen3", false, noKeys, asIs},
    {"qwen3moe", "qwen3_moe", false, qwen3MoeKeys, asIs},
    {"smollm3", "smollm3", true, noKeys, asIs},
    {"ernie4_5", "ernie4_5", false, noKeys, asIs},
    {"phi2", "phi", false, noKeys, asIs},
    {"phi3", "phi3", false, noKeys, fusedInUp},
    {"gemma", "gemma", false, noKeys, onesAdded},
    {"gemma2", "gemma2", false, gemma2Keys, onesAdded},
    {"gemma3", "gemma3_text", false, gemma3Keys, onesAdded},
    {"gptneox", "gpt_neox", false, gptNeoxKeys, rowsRegrouped},
    {"stablelm", "stablelm", false, stablelmKeys, normsStacked},
    {"starcoder2", "starcoder2", false, noKeys, asIs},
    {"olmo", "olmo", true, olmoKeys, asIs},
    {"olmo2", "olmo2", false, noKeys, asIs},
    {"granite", "granite", true, graniteKeys, asIs},
    {"granitemoe", "granitemoe", true, graniteMoeKeys, asIs},
    {"command-r", "cohere", false, cohereKeys, asIs},
    {"cohere2", "cohere2", false, cohereKeys, asIs},
    {"chatglm", "glm", false, noKeys, fusedInUp},
    {"glm4", "glm4", false, noKeys, fusedInUp},
    {"gpt-oss", "gpt_oss", false, expertKeys, gptOssBiases},
};

const GgufArchitecture& findArchitecture(const GgufMetadata& metadata, const std::string& where) {
  for (const GgufArchitecture& architecture : kArchitectures) {
    if (metadata.architecture() == architecture.name) {
      return architecture;
    }
  }
  throw Error(where,
              concat("architecture \"", metadata.architecture(),
                     "\" is not covered as GGUF: the plain Hugging "
                     "Face folder may be, or a description of its tensors is needed"),
              ErrorKind::Unsupported);
}

// --- metadata to configuration ------------------------------------------------------------------------------------

// The numbers of a 1-D tensor; empty if it is not there.
std::vector<double> divisors(const GgufFile& file, const char* name) {
  const GgufTensor* tensor = file.find(name);
  if (tensor == nullptr) {
    return {};
  }
  requireDequantizable(*tensor, file.path().string());
  if (tensor->shape.size() != 1 || tensor->elements() > (1 << 16)) {
    throw Error(file.path().string(), concat("tensor \"", name, "\" is no list of RoPE factors"));
  }
  std::vector<float> floats(static_cast<std::size_t>(tensor->elements()));
  dequantizeRows(*tensor, 0, 1, floats.data());
  return {floats.begin(), floats.end()};
}

void ropeKeys(const GgufMetadata& metadata, const GgufFile& file, Json& config) {
  config["rope_theta"] = metadata.number("rope.freq_base").value_or(10000.0);
  const std::int64_t dim = config.at("head_dim").get<std::int64_t>();
  const std::int64_t rotated = metadata.integerOr("rope.dimension_count", dim, 0, dim);
  if (rotated != dim) {
    config["partial_rotary_factor"] = static_cast<double>(rotated) / static_cast<double>(dim);
  }
  const std::string type = metadata.textOr("rope.scaling.type", "none");
  const std::optional<double> factor =
      metadata.number(metadata.has("rope.scaling.factor") ? "rope.scaling.factor" : "rope.scale_linear");
  const std::vector<double> shortFactors = divisors(file, "rope_factors_short.weight");
  Json scaling = Json::object();
  if (!shortFactors.empty()) {
    scaling["rope_type"] = "longrope";
    scaling["short_factor"] = shortFactors;
    scaling["long_factor"] = divisors(file, "rope_factors_long.weight");
    copyNumber(metadata, "rope.scaling.attn_factor", scaling, "attention_factor");
  } else if (type != "none" && factor && *factor != 1) {
    scaling["rope_type"] = type;
    scaling["factor"] = *factor;
  }
  if (type == "yarn" && factor) {
    // ggml: attn_factor · (1 + 0.1 · ln factor)
    scaling["attention_factor"] =
        metadata.number("rope.scaling.attn_factor").value_or(1.0) * (*factor > 1 ? 1 + 0.1 * std::log(*factor) : 1.0);
    copyNumber(metadata, "rope.scaling.yarn_beta_fast", scaling, "beta_fast");
    copyNumber(metadata, "rope.scaling.yarn_beta_slow", scaling, "beta_slow");
  }
  if (metadata.has("rope.scaling.original_context_length")) {
    const std::int64_t original = metadata.integer("rope.scaling.original_context_length", 1, kSizeLimit);
    scaling["original_max_position_embeddings"] = original;
  }
  if (scaling.contains("rope_type")) {
    config["rope_scaling"] = scaling;
  }
}

Json configuration(const GgufArchitecture& architecture, const GgufMetadata& metadata, const GgufFile& file) {
  const GgufTensor& embedding = file.at("token_embd.weight");
  Json config = Json::object();
  config["model_type"] = architecture.modelType;
  config["num_hidden_layers"] = metadata.integer("block_count", 1, static_cast<std::int64_t>(file.tensors().size()));
  const std::int64_t hidden = metadata.integer("embedding_length", 1, kSizeLimit);
  const std::int64_t heads = metadata.integer("attention.head_count", 1, 1 << 16);
  config["hidden_size"] = hidden;
  config["num_attention_heads"] = heads;
  config["num_key_value_heads"] = metadata.integerOr("attention.head_count_kv", heads, 1, 1 << 16);
  config["head_dim"] = metadata.integerOr("attention.key_length", hidden / heads, 1, 1 << 16);
  config["intermediate_size"] = metadata.integer("feed_forward_length", 1, kSizeLimit);
  config["vocab_size"] = embedding.shape.empty() ? 0 : embedding.shape.front();
  config["max_position_embeddings"] = metadata.integerOr("context_length", 1, 1, kSizeLimit);
  config["tie_word_embeddings"] = file.find("output.weight") == nullptr;
  for (const char* key : {"rms_norm_eps", "layer_norm_eps", "norm_epsilon", "norm_eps"}) {
    copyNumber(metadata,
               metadata.has("attention.layer_norm_rms_epsilon") ? "attention.layer_norm_rms_epsilon"
                                                                : "attention.layer_norm_epsilon",
               config, key);
  }
  if (metadata.has("attention.sliding_window")) {
    config["sliding_window"] = metadata.integer("attention.sliding_window", 0, kSizeLimit);
  }
  ropeKeys(metadata, file, config);
  architecture.keys(metadata, file, config);
  return config;
}

// --- configuration to the file's tensors --------------------------------------------------------------------------

TensorNames ggufNames(const Architecture& a, const GgufFile& file) {
  TensorNames names;
  names.embedding = "token_embd";
  names.layerPrefix = "blk.";
  names.finalNorm = "output_norm";
  names.head = "output";
  names.attentionIn = "attn_norm";
  names.attentionOut = "post_attention_norm";
  // Where a family calls its second input norm post_attention_layernorm, some converters keep that name.
  const bool renamed = a.block == BlockForm::Pre && file.find("blk.0.ffn_norm.weight") == nullptr &&
                       file.find("blk.0.post_attention_norm.weight") != nullptr;
  names.mlpIn = renamed ? "post_attention_norm" : "ffn_norm";
  names.mlpOut = "post_ffw_norm";
  names.q = "attn_q";
  names.k = "attn_k";
  names.v = "attn_v";
  names.o = "attn_output";
  names.qkv = "attn_qkv";
  names.qNorm = "attn_q_norm";
  names.kNorm = "attn_k_norm";
  names.sinks = "attn_sinks.weight";
  names.gate = "ffn_gate";
  names.up = "ffn_up";
  names.down = "ffn_down";
  return names;
}

void renameExperts(ExpertTraits& experts) {
  experts.layout = ExpertLayout::Stacked;
  experts.router = "ffn_gate_inp";
  experts.gate = "ffn_gate_exps";
  experts.up = "ffn_up_exps";
  experts.down = "ffn_down_exps";
}

// The file says by its tensors which biases there are, and whether q, k and v are one tensor.
void followTensors(Architecture& a, const GgufFile& file) {
  const auto there = [&](const std::string& name) { return file.find("blk.0." + name) != nullptr; };
  if (a.qkv == QkvLayout::Separate && !there("attn_q.weight") && there("attn_qkv.weight")) {
    a.qkv = QkvLayout::Concatenated;
  }
  const bool fused = a.qkv != QkvLayout::Separate;
  a.bias.q = there(fused ? "attn_qkv.bias" : "attn_q.bias");
  a.bias.k = there(fused ? "attn_qkv.bias" : "attn_k.bias");
  a.bias.v = there(fused ? "attn_qkv.bias" : "attn_v.bias");
  a.bias.o = there("attn_output.bias");
  a.bias.mlp = there("ffn_down.bias");
  a.bias.head = file.find("output.bias") != nullptr;
  // llama3 scaling, worked out per dim.
  const std::vector<double> factors = divisors(file, "rope_freqs.weight");
  if (!factors.empty() && !a.ropes.empty()) {
    a.ropes.front().kind = RopeKind::Divisors;
    a.ropes.front().shortFactors = factors;
    makeRope(a.ropes.front(), 1, a.where);
  }
}

}  // namespace

ModelFiles openGguf(const std::filesystem::path& path) {
  const std::shared_ptr<const GgufFile> file = GgufFile::open(path);
  const std::string where = path.string();
  const GgufMetadata metadata(*file);
  const GgufArchitecture& kind = findArchitecture(metadata, where);
  const Config config(configuration(kind, metadata, *file), where, static_cast<std::int64_t>(file->tensors().size()));
  Architecture a = readArchitecture(config);
  a.names = ggufNames(a, *file);
  kind.adapt(a);
  a.pairedRows = kind.pairedRows;
  if (a.experts) {
    renameExperts(*a.experts);
  }
  followTensors(a, *file);
  ModelFiles files;
  files.format = "gguf";
  files.weights = ggufWeights(file);
  files.decoder = makePlan(a);
  files.decoder.name = metadata.name();
  if (a.pairedRows) {
    files.decoder.notes.push_back("rows of q and k were put back into the order of Hugging Face");
  }
  return files;
}

}  // namespace headscope
