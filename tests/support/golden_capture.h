#pragma once

// Captures made of golden files of shared/models/families (q and k before RoPE as Hugging Face transformers has them),
// for tests of everything behind a capture without running a model.

#include <filesystem>
#include <map>
#include <memory>
#include <string>

#include "core/capture/capture.h"
#include "core/files/json.h"
#include "core/files/safetensors.h"
#include "tests/support/synthetic_capture.h"

namespace headscope::test {

inline std::vector<float> tensorValues(const TensorView& view) {
  std::vector<float> values(static_cast<std::size_t>(view.elements()));
  toFloats(view.bytes.data(), *floatType(view.type), values.size(), values.data());
  return values;
}

class GoldenCapture {
 public:
  explicit GoldenCapture(const std::filesystem::path& folder, const std::string& file = "golden.safetensors")
      : folder_(folder), golden_(SafetensorsFile::open(folder / file)) {
    meta_ = Json::parse(golden_->metadata().at("headscope_golden"));
    build();
  }

  const std::shared_ptr<const Capture>& capture() const { return capture_; }
  std::vector<float> values(const std::string& tensor) const { return tensorValues(golden_->at(tensor)); }

 private:
  template <typename T>
  T perLayer(const char* key, int layer) const {
    const Json& value = meta_.at(key);
    return (value.is_array() ? value.at(static_cast<std::size_t>(layer)) : value).template get<T>();
  }
  bool isNull(const char* key, int layer) const {
    const Json& value = meta_.at(key);
    return (value.is_array() ? value.at(static_cast<std::size_t>(layer)) : value).is_null();
  }

  std::vector<PostRopeStep> postRope(int layer) const {
    std::vector<PostRopeStep> steps;
    for (const Json& op : meta_.at("post_rope_ops")) {
      const Json config = readJson(folder_ / "config.json");
      PostRopeStep step;
      if (op == "position_scale") {
        step.beta = config.at("rope_parameters").at("llama_4_scaling_beta").get<double>();
        step.original = config.at("rope_parameters").at("original_max_position_embeddings").get<std::int64_t>();
      } else {
        const auto model = SafetensorsFile::open(folder_ / "model.safetensors");
        const std::string prefix = concat("model.layers.", layer, ".self_attn.");
        step.kind = PostRopeStep::Kind::RmsNorm;
        step.eps = config.at("rms_norm_eps").get<double>();
        step.q = tensorValues(model->at(prefix + "query_layernorm.weight"));
        step.k = tensorValues(model->at(prefix + "key_layernorm.weight"));
      }
      steps.push_back(step);
    }
    return steps;
  }

  AttentionSpec attention(int layer, std::vector<Rope>& ropes) const {
    AttentionSpec spec;
    spec.scale = perLayer<double>("scale", layer);
    if (!isNull("window", layer)) {
      spec.window = perLayer<std::int64_t>("window", layer);
    }
    if (!isNull("softcap", layer)) {
      spec.softcap = perLayer<double>("softcap", layer);
    }
    spec.postRope = postRope(layer);
    const std::vector<float> frequencies = values(concat("inv_freq.", layer));
    if (!frequencies.empty()) {
      Rope rope;
      rope.pairing = meta_.at("rope_style") == "half" ? RopePairing::Half : RopePairing::Interleaved;
      rope.rotaryDims = 2 * static_cast<int>(frequencies.size());
      rope.invFreq.assign(frequencies.begin(), frequencies.end());
      rope.attentionScaling = perLayer<double>("attention_scaling", layer);
      spec.rope = static_cast<int>(ropes.size());
      ropes.push_back(rope);
    }
    return spec;
  }

  void build() {
    CaptureHeader header;
    CaptureBuilder::Options options;
    header.model = meta_.at("case").get<std::string>();
    header.family = meta_.at("family").get<std::string>();
    header.layers = meta_.at("layers").get<int>();
    header.heads = perLayer<int>("heads", 0);
    header.kvHeads = perLayer<int>("kv_heads", 0);
    header.headDim = perLayer<int>("head_dim", 0);
    const std::int64_t tokens = golden_->at("ids").shape[0];
    for (int layer = 0; layer < header.layers; ++layer) {
      header.attention.push_back(attention(layer, header.ropes));
      options.shapes.push_back(
          {perLayer<int>("heads", layer), perLayer<int>("kv_heads", layer), perLayer<int>("head_dim", layer)});
      const std::string sinks = concat("sinks.", layer);
      options.sinks.push_back(golden_->find(sinks) != nullptr ? values(sinks) : std::vector<float>{});
    }
    CaptureBuilder builder(header, tokens, options);
    for (int layer = 0; layer < header.layers; ++layer) {
      const auto target = builder.target(layer);
      const std::vector<float> q = values(concat("q_pre.", layer));
      const std::vector<float> k = values(concat("k_pre.", layer));
      std::memcpy(target.q, q.data(), q.size() * sizeof(float));
      std::memcpy(target.k, k.data(), k.size() * sizeof(float));
      builder.finishLayer(layer);
      for (int head = 0; head < header.heads; ++head) {
        const DenseHead dense = denseHead(*builder.capture(), layer, head);
        std::copy(dense.lse.begin(), dense.lse.end(), target.lse + head * tokens);
      }
    }
    capture_ = builder.capture();
  }

  std::filesystem::path folder_;
  std::shared_ptr<const SafetensorsFile> golden_;
  Json meta_;
  std::shared_ptr<const Capture> capture_;
};

}  // namespace headscope::test
