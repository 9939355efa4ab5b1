#pragma once

// Rewrites golden families of Hugging Face as GGUF, tensor by tensor, as llama.cpp's converters store them.

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/error.h"
#include "core/files/json.h"
#include "core/files/tensor_source.h"
#include "tests/support/gguf_builder.h"

namespace headscope::test {

// Rewrites a golden family as GGUF, tensor by tensor.
class Converter {
 public:
  Converter(const std::filesystem::path& folder, std::string architecture)
      : source_(TensorSource::open(folder)), config_(readJson(folder / "config.json")), arch_(std::move(architecture)) {
    builder_.text("general.architecture", arch_);
    heads_ = config_.at("num_attention_heads").get<std::int64_t>();
    kvHeads_ = config_.value("num_key_value_heads", heads_);
    dim_ = config_.contains("head_dim") && config_.at("head_dim").is_number()
               ? config_.at("head_dim").get<std::int64_t>()
               : config_.at("hidden_size").get<std::int64_t>() / heads_;
  }

  std::int64_t heads() const { return heads_; }
  std::int64_t kvHeads() const { return kvHeads_; }
  std::int64_t dim() const { return dim_; }
  const Json& config() const { return config_; }

  void commonKeys(const char* eps, int extraBlocks = 0) {
    key("block_count", config_.at("num_hidden_layers").get<std::int64_t>() + extraBlocks);
    count("embedding_length", "hidden_size");
    count("feed_forward_length", "intermediate_size");
    count("context_length", "max_position_embeddings");
    key("attention.head_count", heads_);
    key("attention.head_count_kv", kvHeads_);
    key("attention.key_length", dim_);
    const bool rms = std::string_view(eps) == "rms_norm_eps";
    real(rms ? "attention.layer_norm_rms_epsilon" : "attention.layer_norm_epsilon", config_.value(eps, 1e-5));
  }
  void key(const std::string& name, std::int64_t value) {
    builder_.number(arch_ + "." + name, GgufValueType::U32, static_cast<std::uint32_t>(value));
  }
  void real(const std::string& name, double value) {
    builder_.number(arch_ + "." + name, GgufValueType::F32, static_cast<float>(value));
  }
  void flag(const std::string& name, bool value) {
    builder_.number(arch_ + "." + name, GgufValueType::Bool, static_cast<std::uint8_t>(value));
  }
  /// Keys without the architecture in front.
  void reals(const std::string& name, const std::vector<float>& values) {
    builder_.array(name, static_cast<std::int32_t>(GgufValueType::F32), values.size(),
                   {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)});
  }
  void integers(const std::string& name, std::span<const std::int32_t> values) {
    builder_.array(arch_ + "." + name, static_cast<std::int32_t>(GgufValueType::I32), values.size(),
                   {reinterpret_cast<const char*>(values.data()), values.size_bytes()});
  }
  void flags(const std::string& name, const std::string& values) {
    builder_.array(arch_ + "." + name, static_cast<std::int32_t>(GgufValueType::Bool), values.size(), values);
  }
  void text(const std::string& name, const std::string& value) { builder_.text(arch_ + "." + name, value); }
  void count(const std::string& name, const char* from) { key(name, config_.at(from).get<std::int64_t>()); }

  std::vector<float> read(const std::string& name) const {
    const TensorView& view = source_->at(name);
    std::vector<float> values(static_cast<std::size_t>(view.elements()));
    toFloats(view.bytes.data(), floatType(view.type).value(), values.size(), values.data());
    return values;
  }
  bool has(const std::string& name) const { return source_->find(name) != nullptr; }
  std::vector<std::int64_t> shape(const std::string& name) const { return source_->at(name).shape; }

  void write(const std::string& name, std::vector<std::int64_t> shape, const std::vector<float>& values) {
    std::reverse(shape.begin(), shape.end());
    builder_.tensor(name, GgufType::F32, shape,
                    {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)});
  }
  /// (value + add) · factor, if the tensor is there.
  void copy(const std::string& from, const std::string& to, float add = 0, float factor = 1) {
    if (!has(from)) {
      return;
    }
    std::vector<float> values = read(from);
    std::for_each(values.begin(), values.end(), [&](float& value) { value = (value + add) * factor; });
    write(to, shape(from), values);
  }
  void copyBoth(const std::string& from, const std::string& to) {
    copy(from + ".weight", to + ".weight");
    copy(from + ".bias", to + ".bias");
  }
  /// Row a·D/2 + i of a head goes to 2i + a (llama.cpp's permute()).
  void copyPaired(const std::string& from, const std::string& to, std::int64_t heads) {
    for (const std::string kind : {".weight", ".bias"}) {
      if (!has(from + kind)) {
        continue;
      }
      const std::vector<float> values = read(from + kind);
      std::vector<float> out(values.size());
      const std::size_t width = values.size() / static_cast<std::size_t>(heads * dim_);
      for (std::int64_t row = 0; row < heads * dim_; ++row) {
        const std::int64_t within = row % dim_;
        const std::int64_t paired = 2 * (within % (dim_ / 2)) + within / (dim_ / 2);
        std::copy_n(values.begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(row) * width), width,
                    out.begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(row - within + paired) * width));
      }
      write(to + kind, shape(from + kind), out);
    }
  }

  /// Tensors NAME.{0 … count − 1}.PART stacked along a new slowest axis.
  void copyStacked(const std::string& prefix, int count, const std::string& part, const std::string& to) {
    std::vector<float> all;
    std::vector<std::int64_t> shape;
    for (int i = 0; i < count; ++i) {
      const std::string name = concat(prefix, i, part);
      const std::vector<float> one = read(name);
      all.insert(all.end(), one.begin(), one.end());
      shape = this->shape(name);
    }
    shape.insert(shape.begin(), count);
    write(to, shape, all);
  }
  /// The first and second half of the rows of each matrix [.., 2F, E].
  void copyHalves(const std::string& from, const std::string& first, const std::string& second) {
    std::vector<std::int64_t> shape = this->shape(from);
    const std::vector<float> values = read(from);
    shape[shape.size() - 2] /= 2;
    const auto half = static_cast<std::size_t>(shape[shape.size() - 2] * shape.back());
    std::vector<float> halves[2];
    for (std::size_t at = 0; at < values.size(); at += half) {
      std::vector<float>& target = halves[at / half % 2];
      target.insert(target.end(), values.begin() + static_cast<std::ptrdiff_t>(at),
                    values.begin() + static_cast<std::ptrdiff_t>(at + half));
    }
    write(first, shape, halves[0]);
    write(second, shape, halves[1]);
  }

  std::filesystem::path save(const std::filesystem::path& path) const {
    std::ofstream(path, std::ios::binary) << builder_.bytes();
    return path;
  }

 private:
  std::shared_ptr<const TensorSource> source_;
  Json config_;
  std::string arch_;
  std::int64_t heads_ = 0, kvHeads_ = 0, dim_ = 0;
  GgufBuilder builder_;
};

// What the converters of several architectures have in common.
struct Conversion {
  const char* architecture;
  bool paired = false;
  float normOne = 0;  ///< added to norm weights
  const char* eps = "rms_norm_eps";
  const char* attentionOut = nullptr;  ///< norm behind the attention → post_attention_norm
  const char* attentionIn = "input_layernorm";
  const char* mlpIn = "post_attention_layernorm";
  const char* mlpInTarget = "ffn_norm";
  const char* mlpOut = nullptr;  ///< → post_ffw_norm
  const char* up = "mlp.up_proj";
  const char* down = "mlp.down_proj";
  const char* o = "self_attn.o_proj";
  const char* finalNorm = "model.norm";
  const char* qNorm = "self_attn.q_norm";
  const char* kNorm = "self_attn.k_norm";
  double ropeBase = 0;     ///< instead of the configuration's
  bool ropeKeys = true;    ///< write rope.freq_base and rope.dimension_count
  int extraBlocks = 0;     ///< counted in block_count, without tensors
  double queryScalar = 0;  ///< GGUF has no query_pre_attn_scalar: the difference to D goes into the queries
};

inline void convertLayer(Converter& gguf, const Conversion& how, const std::string& from, const std::string& to) {
  const auto norm = [&](const std::string& name, const std::string& target) {
    gguf.copy(from + name + ".weight", to + target + ".weight", how.normOne);
    gguf.copy(from + name + ".bias", to + target + ".bias");
  };
  norm(how.attentionIn, "attn_norm");
  if (how.attentionOut != nullptr) {
    norm(how.attentionOut, "post_attention_norm");
  }
  if (how.mlpIn != nullptr) {
    norm(how.mlpIn, how.mlpInTarget);
  }
  if (how.mlpOut != nullptr) {
    norm(how.mlpOut, "post_ffw_norm");
  }
  const bool normed = gguf.has(from + how.qNorm + ".weight");
  const float factor =
      how.queryScalar > 0 ? static_cast<float>(std::sqrt(static_cast<double>(gguf.dim()) / how.queryScalar)) : 1.0F;
  gguf.copy(from + how.qNorm + ".weight", to + "attn_q_norm.weight", how.normOne, factor);
  norm(how.kNorm, "attn_k_norm");
  if (factor != 1 && !normed) {
    gguf.copy(from + "self_attn.q_proj.weight", to + "attn_q.weight", 0, factor);
    gguf.copyBoth(from + "self_attn.k_proj", to + "attn_k");
  } else if (how.paired) {
    gguf.copyPaired(from + "self_attn.q_proj", to + "attn_q", gguf.heads());
    gguf.copyPaired(from + "self_attn.k_proj", to + "attn_k", gguf.kvHeads());
  } else {
    gguf.copyBoth(from + "self_attn.q_proj", to + "attn_q");
    gguf.copyBoth(from + "self_attn.k_proj", to + "attn_k");
  }
  gguf.copyBoth(from + "self_attn.v_proj", to + "attn_v");
  gguf.copyBoth(from + "self_attn.qkv_proj", to + "attn_qkv");
  gguf.copyBoth(from + how.o, to + "attn_output");
  gguf.copyBoth(from + "mlp.gate_proj", to + "ffn_gate");
  gguf.copyBoth(from + "mlp.gate_up_proj", to + "ffn_up");
  gguf.copyBoth(from + how.up, to + "ffn_up");
  gguf.copyBoth(from + how.down, to + "ffn_down");
}

inline void convert(Converter& gguf, const Conversion& how) {
  gguf.commonKeys(how.eps, how.extraBlocks);
  gguf.copy("model.embed_tokens.weight", "token_embd.weight");
  gguf.copy(std::string(how.finalNorm) + ".weight", "output_norm.weight", how.normOne);
  gguf.copy(std::string(how.finalNorm) + ".bias", "output_norm.bias");
  gguf.copyBoth("lm_head", "output");
  for (int i = 0; i < gguf.config().at("num_hidden_layers").get<int>(); ++i) {
    convertLayer(gguf, how, concat("model.layers.", i, "."), concat("blk.", i, "."));
  }
  const Json& rope = gguf.config().at("rope_parameters");
  if (how.ropeKeys && rope.contains("rope_theta")) {
    gguf.real("rope.freq_base", how.ropeBase > 0 ? how.ropeBase : rope.at("rope_theta").get<double>());
    const double partial = rope.value("partial_rotary_factor", 1.0);
    gguf.key("rope.dimension_count", static_cast<std::int64_t>(partial * static_cast<double>(gguf.dim())));
  }
}

}  // namespace headscope::test
