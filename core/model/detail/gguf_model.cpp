#include "core/model/detail/gguf_model.h"

#include <cmath>
#include <utility>

#include "core/base/error.h"
#include "core/files/dequantize.h"
#include "core/files/gguf.h"
#include "core/files/gguf_reader.h"
#include "core/model/detail/config.h"
#include "core/model/detail/gguf_architecture.h"
#include "core/model/detail/gguf_metadata.h"
#include "core/model/families/families.h"

namespace headscope {
namespace {

constexpr std::int64_t kSizeLimit = std::int64_t{1} << 31;

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

// The share of a head's dims for which int(dim · share), as families compute it, is `rotated`.
double rotatedShare(std::int64_t rotated, std::int64_t dim) {
  const double share = static_cast<double>(rotated) / static_cast<double>(dim);
  return static_cast<std::int64_t>(static_cast<double>(dim) * share) < rotated ? std::nextafter(share, 1.0) : share;
}

// yarn's factor on cos and sin. ggml: attn_factor · (1 + 0.1 · ln factor), and with a log multiplier the latter over
// (1 + 0.1 · multiplier · ln factor), which is transformers' mscale / mscale_all_dim.
double yarnAttention(const GgufMetadata& metadata, double factor) {
  if (const std::optional<double> given = metadata.number("rope.scaling.yarn_attn_factor")) {
    return *given;
  }
  const double growth = factor > 1 ? 0.1 * std::log(factor) : 0.0;
  const double multiplier = metadata.number("rope.scaling.yarn_log_multiplier").value_or(0.0);
  return metadata.number("rope.scaling.attn_factor").value_or(1.0) * (1 + growth) / (1 + multiplier * growth);
}

Json yarnKeys(const GgufMetadata& metadata, double factor) {
  Json scaling{{"rope_type", "yarn"}, {"factor", factor}, {"attention_factor", yarnAttention(metadata, factor)}};
  metadata.copyNumber("rope.scaling.yarn_beta_fast", scaling, "beta_fast");
  metadata.copyNumber("rope.scaling.yarn_beta_slow", scaling, "beta_slow");
  return scaling;
}

// A dictionary as in rope_scaling; null if there is no scaling. Without a type a factor is a linear one.
Json scalingKeys(const GgufMetadata& metadata, const GgufFile& file) {
  const std::optional<double> factor =
      metadata.number(metadata.has("rope.scaling.factor") ? "rope.scaling.factor" : "rope.scale_linear");
  const std::string type = metadata.textOr("rope.scaling.type", "linear");
  const std::vector<double> shortFactors = divisors(file, "rope_factors_short.weight");
  const std::vector<double> longFactors = divisors(file, "rope_factors_long.weight");
  if (type != "none" && type != "linear" && type != "yarn" && type != "longrope") {
    throw Error(file.path().string(),
                concat("RoPE scaling \"", type, "\" is not known here: its frequencies can't be reproduced"),
                ErrorKind::Unsupported);
  }
  if (type == "longrope" && shortFactors.empty()) {
    throw Error(file.path().string(), "RoPE scaling \"longrope\" needs the tensor \"rope_factors_short.weight\"");
  }
  Json scaling;
  if (!shortFactors.empty()) {
    scaling = {{"rope_type", "longrope"}, {"short_factor", shortFactors}, {"long_factor", longFactors}};
    metadata.copyNumber("rope.scaling.attn_factor", scaling, "attention_factor");
  } else if (type != "none" && factor && *factor != 1 && *factor != 0) {
    scaling = type == "yarn" ? yarnKeys(metadata, *factor) : Json{{"rope_type", "linear"}, {"factor", *factor}};
  }
  if (!scaling.is_null() && metadata.has("rope.scaling.original_context_length")) {
    scaling["original_max_position_embeddings"] =
        metadata.integer("rope.scaling.original_context_length", 1, kSizeLimit);
  }
  return scaling;
}

void ropeKeys(const GgufMetadata& metadata, const GgufFile& file, Json& config) {
  config["rope_theta"] = metadata.number("rope.freq_base").value_or(10000.0);
  const std::int64_t dim = config.at("head_dim").get<std::int64_t>();
  config["partial_rotary_factor"] = rotatedShare(metadata.integerOr("rope.dimension_count", dim, 0, dim), dim);
  Json scaling = scalingKeys(metadata, file);
  if (!scaling.is_null()) {
    config["rope_scaling"] = std::move(scaling);
  }
}

// Layers in front of the heads that predict several tokens at once (which llama.cpp does not run either).
std::int64_t layerCount(const GgufMetadata& metadata, const GgufFile& file) {
  const auto limit = static_cast<std::int64_t>(file.tensors().size());
  const std::int64_t blocks = metadata.integer("block_count", 1, limit);
  return blocks - metadata.integerOr("nextn_predict_layers", 0, 0, blocks - 1);
}

// MLP width; files whose layers all are experts may state the experts' only.
std::int64_t mlpWidth(const GgufMetadata& metadata) {
  const bool expertsOnly = !metadata.has("feed_forward_length") && metadata.has("expert_feed_forward_length");
  return metadata.integer(expertsOnly ? "expert_feed_forward_length" : "feed_forward_length", 1, kSizeLimit);
}

Json configuration(const GgufArchitecture& architecture, const GgufMetadata& metadata, const GgufFile& file) {
  const GgufTensor& embedding = file.at("token_embd.weight");
  Json config = Json::object();
  config["model_type"] = architecture.modelType;
  config["num_hidden_layers"] = layerCount(metadata, file);
  const std::int64_t hidden = metadata.integer("embedding_length", 1, kSizeLimit);
  const std::int64_t heads = metadata.integer("attention.head_count", 1, 1 << 16);
  config["hidden_size"] = hidden;
  config["num_attention_heads"] = heads;
  config["num_key_value_heads"] = metadata.integerOr("attention.head_count_kv", heads, 1, 1 << 16);
  config["head_dim"] = metadata.integerOr("attention.key_length", hidden / heads, 1, 1 << 16);
  config["intermediate_size"] = mlpWidth(metadata);
  config["vocab_size"] = embedding.shape.empty() ? 0 : embedding.shape.front();
  config["max_position_embeddings"] = metadata.integerOr("context_length", 1, 1, kSizeLimit);
  config["tie_word_embeddings"] = file.find("output.weight") == nullptr;
  for (const char* key : {"rms_norm_eps", "layer_norm_eps", "norm_epsilon", "norm_eps"}) {
    metadata.copyNumber(metadata.has("attention.layer_norm_rms_epsilon") ? "attention.layer_norm_rms_epsilon"
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
  experts.gate = "ffn_gate";
  experts.up = "ffn_up";
  experts.down = "ffn_down";
  experts.shared.clear();
  experts.sharedSuffix = "_shexp";
  if (!experts.sharedGate.empty()) {
    experts.sharedGate = "ffn_gate_inp_shexp";
  }
  if (!experts.correction.empty()) {
    experts.correction = "exp_probs_b.bias";
  }
}

// The file says by its tensors which biases there are, whether q, k and v are one tensor, and which layers have
// experts.
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
  for (std::size_t i = 0; a.experts && i < a.layer.size(); ++i) {
    a.layer[i].experts = file.find(concat("blk.", i, ".ffn_gate_inp.weight")) != nullptr;
  }
  // llama3 scaling, worked out per dim.
  const std::vector<double> factors = divisors(file, "rope_freqs.weight");
  if (!factors.empty() && !a.ropes.empty()) {
    a.ropes.front().kind = RopeKind::Divisors;
    a.ropes.front().shortFactors = factors;
    makeRope(a.ropes.front(), 1, a.where);
  }
}

// What the metadata may ask for that no family here does.
void refuseUncovered(const GgufMetadata& metadata, const GgufFile& file, const std::string& where) {
  if (!metadata.flagOr("attention.causal", true)) {
    throw Error(where, "attention is not causal: only causal attention is shown here", ErrorKind::Unsupported);
  }
  if (metadata.isArray("rope.dimension_sections")) {
    const std::vector<std::int64_t> sections = GgufReader(file).integers(".rope.dimension_sections", 16);
    if (sections.size() > 1 && sections[0] > 0 && sections[1] > 0) {
      throw Error(where, "RoPE has sections for the axes of images: these positions can't be reproduced",
                  ErrorKind::Unsupported);
    }
  }
}

// Pairs of neighbouring rows are those of a rotation of all dims.
void requireWholeRotation(const Architecture& a) {
  for (const RopeParameters& rope : a.ropes) {
    if (a.pairedRows && rope.rotaryDims() != rope.headDim) {
      throw Error(a.where,
                  concat("only ", rope.rotaryDims(), " of ", rope.headDim,
                         " dims rotate, and rows of q and k are stored in pairs: their order is not known"),
                  ErrorKind::Unsupported);
    }
  }
}

}  // namespace

ModelFiles openGguf(const std::filesystem::path& path) {
  const std::shared_ptr<const GgufFile> file = GgufFile::open(path);
  const std::string where = path.string();
  const GgufMetadata metadata(*file);
  const GgufArchitecture& kind = findGgufArchitecture(metadata, where);
  refuseUncovered(metadata, *file, where);
  const Config config(configuration(kind, metadata, *file), where, static_cast<std::int64_t>(file->tensors().size()));
  Architecture a = readArchitecture(config);
  a.names = ggufNames(a, *file);
  kind.adapt(metadata, *file, a);
  a.pairedRows = kind.pairedRows;
  requireWholeRotation(a);
  a.scale = metadata.number("attention.scale").value_or(a.scale);
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
