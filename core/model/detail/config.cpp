#include "core/model/detail/config.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

namespace headscope {
namespace {

constexpr std::int64_t kSizeLimit = std::int64_t{1} << 31;

const Json& decoderPart(const Json& root, bool& wrapped) {
  const auto text = root.is_object() ? root.find("text_config") : root.end();
  wrapped = root.is_object() && text != root.end() && text->is_object();
  return wrapped ? *text : root;
}

std::string quantizationName(const Json& quantization) {
  const JsonReader reader(quantization, "quantization_config");
  return reader.stringOr("quant_method", "of an unnamed kind");
}

bool isByLayerType(const Json& dictionary) {
  return dictionary.contains("full_attention") || dictionary.contains("sliding_attention");
}

void readScaling(const JsonReader& keys, const Config& config, RopeParameters& p) {
  const bool needsFactor = p.kind == RopeKind::Linear || p.kind == RopeKind::Dynamic || p.kind == RopeKind::Llama3;
  p.originalPositions = keys.integerOr("original_max_position_embeddings", p.maxPositions, 1, kSizeLimit);
  if (needsFactor) {
    p.factor = keys.number("factor");
  } else if (p.kind == RopeKind::Yarn || p.kind == RopeKind::LongRope) {
    const double stretched =
        p.originalPositions > 0 ? static_cast<double>(p.maxPositions) / static_cast<double>(p.originalPositions) : 1.0;
    p.factor = keys.numberOr("factor", stretched);
  } else {
    p.factor = keys.numberOr("factor", 1.0);
  }
  if (p.kind == RopeKind::Llama3) {
    p.lowFrequency = keys.number("low_freq_factor");
    p.highFrequency = keys.number("high_freq_factor");
    if (p.lowFrequency == p.highFrequency || p.lowFrequency <= 0 || p.highFrequency <= 0) {
      config.keys().fail("low_freq_factor and high_freq_factor must be positive and differ");
    }
  }
}

std::vector<double> numbers(const JsonReader& keys, const char* key) {
  std::vector<double> result;
  if (!keys.has(key)) {
    return result;
  }
  const Json& list = keys.at(key);
  if (!list.is_array()) {
    keys.fail(concat("\"", key, "\" is not a list"));
  }
  for (const Json& value : list) {
    if (!value.is_number() || !std::isfinite(value.get<double>()) || value.get<double>() <= 0) {
      keys.fail(concat("\"", key, "\" holds ", value.dump().substr(0, 40), ", expected positive numbers"));
    }
    result.push_back(value.get<double>());
  }
  return result;
}

std::optional<double> optionalOf(const JsonReader& keys, const char* key) {
  return keys.has(key) ? std::optional(keys.number(key)) : std::nullopt;
}

void readYarnAndLongRope(const JsonReader& keys, bool byLayerType, RopeParameters& p) {
  p.betaFast = keys.numberOr("beta_fast", 32.0);
  p.betaSlow = keys.numberOr("beta_slow", 1.0);
  // transformers looks for `truncate` beside the layer types, not inside of one.
  p.truncate = byLayerType || keys.booleanOr("truncate", true);
  p.mscale = optionalOf(keys, "mscale");
  p.mscaleAllDim = optionalOf(keys, "mscale_all_dim");
  p.attentionFactor = optionalOf(keys, "attention_factor");
  p.shortFactors = numbers(keys, "short_factor");
  p.longFactors = numbers(keys, "long_factor");
}

}  // namespace

Config::Config(Json root, std::string where, std::int64_t layerLimit)
    : root_(std::move(root)), where_(std::move(where)), layerLimit_(layerLimit) {
  const Json& part = decoderPart(root_, wrapped_);
  const JsonReader whole(root_, where_);
  reader_.emplace(part, where_);
  for (const JsonReader* reader : {&whole, static_cast<const JsonReader*>(&*reader_)}) {
    if (reader->has("quantization_config")) {
      refuse(concat("the weights are quantized (quantization_config, method ",
                    quantizationName(reader->at("quantization_config")),
                    "): the plain checkpoint in bf16, f16 or f32, or a GGUF file, is needed"));
    }
  }
  if (!reader_->has("model_type")) {
    reader_->fail("has no \"model_type\": it doesn't say which architecture this is");
  }
  family_ = reader_->string("model_type");
}

bool Config::contains(const char* key) const {
  return (wrapped_ ? root_.at("text_config") : root_).contains(key);
}

std::int64_t Config::size(const char* key) const {
  return reader_->integer(key, 1, kSizeLimit);
}

std::int64_t Config::sizeOr(const char* key, std::int64_t fallback) const {
  return reader_->has(key) ? size(key) : fallback;
}

std::optional<double> Config::optionalNumber(const char* key) const {
  return optionalOf(*reader_, key);
}

std::optional<std::int64_t> Config::window() const {
  const std::int64_t window = reader_->integerOr("sliding_window", 0, 0, kSizeLimit);
  return window == 0 ? std::nullopt : std::optional(window);
}

bool Config::tied(bool fallback) const {
  if (reader_->has("tie_word_embeddings") || !wrapped_) {
    return flag("tie_word_embeddings", fallback);
  }
  return JsonReader(root_, where_).booleanOr("tie_word_embeddings", fallback);
}

plan::Activation Config::activation(const char* key, const char* fallback) const {
  using plan::Activation;
  static constexpr std::array known{
      std::pair{"silu", Activation::Silu},          std::pair{"swish", Activation::Silu},
      std::pair{"gelu", Activation::Gelu},          std::pair{"gelu_new", Activation::GeluTanh},
      std::pair{"gelu_fast", Activation::GeluTanh}, std::pair{"gelu_pytorch_tanh", Activation::GeluTanh},
      std::pair{"relu", Activation::Relu},          std::pair{"relu2", Activation::ReluSquared},
      std::pair{"xielu", Activation::XIelu},
  };
  const std::string name = reader_->stringOr(key, fallback);
  const auto found = std::find_if(known.begin(), known.end(), [&](const auto& entry) { return name == entry.first; });
  if (found == known.end()) {
    refuse(concat("the activation \"", name, "\" (", key, ") is not known here"));
  }
  return found->second;
}

std::vector<std::string> Config::layerTypes(int layers) const {
  std::vector<std::string> types;
  if (!reader_->has("layer_types")) {
    return types;
  }
  const Json& list = reader_->at("layer_types");
  if (!list.is_array() || list.size() != static_cast<std::size_t>(layers)) {
    reader_->fail(concat("\"layer_types\" must list ", layers, " layers"));
  }
  for (const Json& entry : list) {
    std::string type = entry.is_string() ? entry.get<std::string>() : entry.dump();
    if (type == "attention") {
      type = "full_attention";
    }
    if (type != "full_attention" && type != "sliding_attention") {
      refuse(concat("layer type \"", type.substr(0, 60), "\" is not softmax attention over a full or sliding window"));
    }
    types.push_back(std::move(type));
  }
  return types;
}

std::vector<std::int64_t> Config::integers(const char* key) const {
  std::vector<std::int64_t> result;
  if (!reader_->has(key)) {
    return result;
  }
  const Json& list = reader_->at(key);
  if (!list.is_array()) {
    reader_->fail(concat("\"", key, "\" is not a list"));
  }
  for (const Json& value : list) {
    if (!value.is_number_integer()) {
      reader_->fail(concat("\"", key, "\" holds ", value.dump().substr(0, 40), ", expected whole numbers"));
    }
    result.push_back(value.get<std::int64_t>());
  }
  return result;
}

bool Config::ropeByLayerType() const {
  const Json* dictionary = ropeDictionary(nullptr);
  return dictionary != nullptr && isByLayerType(*dictionary);
}

// rope_scaling, where present, replaces the newer rope_parameters (as transformers 5 does).
const Json* Config::ropeDictionary(const char* layerType) const {
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    if (!reader_->has(key)) {
      continue;
    }
    const Json& dictionary = reader_->at(key);
    if (!dictionary.is_object()) {
      reader_->fail(concat("\"", key, "\" is not a JSON object"));
    }
    if (layerType == nullptr || !isByLayerType(dictionary)) {
      return &dictionary;
    }
    const auto found = dictionary.find(layerType);
    return found == dictionary.end() || !found->is_object() ? nullptr : &*found;
  }
  return nullptr;
}

RopeParameters Config::rope(const RopeDefaults& defaults, int headDim, const char* layerType) const {
  static const Json kNothing = Json::object();
  const Json* dictionary = ropeDictionary(layerType);
  const bool byLayerType = layerType != nullptr && ropeByLayerType();
  if (layerType == nullptr && dictionary != nullptr && isByLayerType(*dictionary)) {
    refuse(concat("RoPE parameters by layer type are not part of ", family_, " here"));
  }
  const JsonReader keys(dictionary == nullptr ? kNothing : *dictionary, where_);
  RopeParameters p;
  p.pairing = defaults.pairing;
  p.headDim = headDim;
  p.base = keys.numberOr("rope_theta", reader_->numberOr("rope_theta", defaults.base));
  p.partial = keys.numberOr("partial_rotary_factor", reader_->numberOr("partial_rotary_factor", defaults.partial));
  p.maxPositions = reader_->integerOr("max_position_embeddings", 0, 0, kSizeLimit);
  const std::string type = keys.stringOr("rope_type", keys.stringOr("type", "default"));
  const std::optional<RopeKind> kind =
      family_ == "phi3" && (type == "su" || type == "yarn") ? std::optional(RopeKind::LongRope) : ropeKind(type);
  if (!kind) {
    refuse(concat("RoPE scaling \"", type.substr(0, 60), "\" is not known here: its frequencies can't be reproduced"));
  }
  p.kind = *kind;
  if (p.partial < 0 || p.partial > 1) {
    reader_->fail(concat("partial_rotary_factor is ", p.partial, ", expected 0 to 1"));
  }
  p.alpha = keys.numberOr("alpha", 1.0);
  readScaling(keys, *this, p);
  readYarnAndLongRope(keys, byLayerType, p);
  makeRope(p, 1, where_);  // checks the parameters
  return p;
}

Architecture Config::decoder(const RopeDefaults& defaults) const {
  Architecture a;
  a.family = family_;
  a.where = where_;
  a.hidden = size("hidden_size");
  a.heads = static_cast<int>(reader_->integer("num_attention_heads", 1, 1 << 16));
  a.kvHeads = static_cast<int>(reader_->integerOr("num_key_value_heads", a.heads, 1, 1 << 16));
  if (a.heads % a.kvHeads != 0) {
    reader_->fail(concat("num_key_value_heads ", a.kvHeads, " does not divide num_attention_heads ", a.heads));
  }
  if (!reader_->has("head_dim") && a.hidden % a.heads != 0) {
    reader_->fail(concat("hidden_size ", a.hidden, " is no multiple of num_attention_heads ", a.heads,
                         " and there is no head_dim"));
  }
  a.headDim = static_cast<int>(reader_->integerOr("head_dim", a.hidden / a.heads, 1, 1 << 16));
  a.mlpWidth = size("intermediate_size");
  a.vocab = size("vocab_size");
  a.context = reader_->integerOr("max_position_embeddings", 0, 0, kSizeLimit);
  const std::int64_t layers = size("num_hidden_layers");
  if (layers > layerLimit_) {
    reader_->fail(concat("num_hidden_layers is ", layers, ", but the weights are only ", layerLimit_, " tensors"));
  }
  a.layers = static_cast<int>(layers);
  a.eps = number("rms_norm_eps", 1e-6);
  a.activation = activation("hidden_act", "silu");
  a.tied = tied(false);
  if (!ropeByLayerType()) {
    a.ropes = {rope(defaults, a.headDim)};
  }
  LayerTraits traits;
  traits.rope = 0;
  traits.headDim = a.headDim;
  traits.kvHeads = a.kvHeads;
  traits.mlpWidth = a.mlpWidth;
  a.layer.assign(static_cast<std::size_t>(layers), traits);
  return a;
}

void slideAll(Architecture& architecture, std::optional<std::int64_t> window) {
  for (LayerTraits& traits : architecture.layer) {
    traits.window = window;
  }
}

void slideByType(Architecture& architecture, const std::vector<std::string>& types,
                 std::optional<std::int64_t> window) {
  for (std::size_t i = 0; i < architecture.layer.size(); ++i) {
    architecture.layer[i].window = types[i] == "sliding_attention" ? window : std::nullopt;
  }
}

std::vector<std::string> periodicTypes(int layers, std::int64_t period) {
  std::vector<std::string> types;
  for (int i = 0; i < layers; ++i) {
    types.emplace_back((i + 1) % period == 0 ? "full_attention" : "sliding_attention");
  }
  return types;
}

}  // namespace headscope
