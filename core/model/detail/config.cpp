#include "core/model/detail/config.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

namespace headscope {
namespace {

constexpr std::int64_t kSizeLimit = std::int64_t{1} << 31;
constexpr std::int64_t kExpertLimit = 1024;

// Multimodal models whose text runs through their decoder as it would alone.
constexpr std::array<std::string_view, 3> kWrappers{"gemma3", "gemma4", "mistral3"};

const Json& decoderPart(const Json& root, const std::string& where, bool& wrapped) {
  const auto text = root.is_object() ? root.find("text_config") : root.end();
  wrapped = root.is_object() && text != root.end() && text->is_object();
  if (!wrapped) {
    return root;
  }
  const std::string type = JsonReader(root, where).stringOr("model_type", "");
  if (std::find(kWrappers.begin(), kWrappers.end(), type) == kWrappers.end()) {
    throw Error(where,
                concat("model_type \"", type.substr(0, 60),
                       "\" holds its decoder in text_config in a way that is "
                       "not known here"),
                ErrorKind::Unsupported);
  }
  return *text;
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

Config::Config(Json root, std::string where, std::int64_t tensors)
    : root_(std::move(root)), where_(std::move(where)), tensors_(tensors) {
  const Json& part = decoderPart(root_, where_, wrapped_);
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

int Config::count(const char* key, std::int64_t fallback, std::int64_t low, std::int64_t high) const {
  return static_cast<int>(reader_->integerOr(key, fallback, low, high));
}

int Config::expertCount(const char* key) const {
  return static_cast<int>(reader_->integer(key, 1, kExpertLimit));
}

std::optional<std::int64_t> Config::window(std::optional<std::int64_t> fallback) const {
  if (!contains("sliding_window")) {
    return fallback;
  }
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

std::vector<std::string> Config::layerTypesOr(int layers, std::int64_t period) const {
  std::vector<std::string> types = layerTypes(layers);
  for (int i = static_cast<int>(types.size()); i < layers; ++i) {
    types.emplace_back((i + 1) % period == 0 ? "full_attention" : "sliding_attention");
  }
  return types;
}

bool Config::ropeByLayerType() const {
  const Json* dictionary = ropeDictionary();
  return dictionary != nullptr && isByLayerType(*dictionary);
}

// rope_scaling, where present, replaces the newer rope_parameters (as transformers 5 does).
const Json* Config::ropeDictionary() const {
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    if (reader_->has(key)) {
      const Json& dictionary = reader_->at(key);
      if (!dictionary.is_object()) {
        reader_->fail(concat("\"", key, "\" is not a JSON object"));
      }
      return &dictionary;
    }
  }
  return nullptr;
}

Json Config::ropeDictionaryOr(const DecoderDefaults& defaults) const {
  if (const Json* dictionary = ropeDictionary()) {
    return *dictionary;
  }
  return defaults.rope == nullptr ? Json::object() : Json::parse(defaults.rope);
}

double Config::ropeNumber(const char* key, const DecoderDefaults& defaults) const {
  const Json dictionary = ropeDictionaryOr(defaults);
  return JsonReader(dictionary, where_).number(key);
}

RopeParameters Config::rope(const DecoderDefaults& defaults, int headDim) const {
  const Json dictionary = ropeDictionaryOr(defaults);
  if (isByLayerType(dictionary)) {
    refuse(concat("RoPE parameters by layer type are not part of ", family_, " here"));
  }
  return readRope(dictionary, defaults, headDim, defaults.topLevelRope, false);
}

RopeParameters Config::ropeOf(const char* layerType, const DecoderDefaults& defaults, int headDim) const {
  const Json* dictionary = ropeDictionary();
  if (dictionary != nullptr && isByLayerType(*dictionary)) {
    const auto found = dictionary->find(layerType);
    const bool there = found != dictionary->end() && found->is_object();
    return readRope(there ? *found : Json::object(), defaults, headDim, false, true);
  }
  const bool full = std::string_view(layerType) == "full_attention";
  const bool scaled = full && reader_->has("rope_scaling");
  return readRope(scaled ? reader_->at("rope_scaling") : Json::object(), defaults, headDim, full, false);
}

RopeParameters Config::readRope(const Json& dictionary, const DecoderDefaults& defaults, int headDim, bool topLevel,
                                bool byLayerType) const {
  const JsonReader keys(dictionary, where_);
  const auto older = [&](const char* key, double fallback) {
    return topLevel ? reader_->numberOr(key, fallback) : fallback;
  };
  RopeParameters p;
  p.pairing = defaults.pairing;
  p.headDim = headDim;
  p.base = keys.numberOr("rope_theta", older("rope_theta", defaults.ropeBase));
  p.partial = keys.numberOr("partial_rotary_factor", older("partial_rotary_factor", defaults.partial));
  p.maxPositions = reader_->integerOr("max_position_embeddings", 0, 0, kSizeLimit);
  const std::string type = keys.stringOr("rope_type", keys.stringOr("type", "default"));
  const bool oldName = defaults.oldLongRopeNames && (type == "su" || type == "yarn");
  const std::optional<RopeKind> kind = ropeKind(oldName ? "longrope" : type);
  if (!kind) {
    refuse(concat("RoPE scaling \"", type.substr(0, 60), "\" is not known here: its frequencies can't be reproduced"));
  }
  p.kind = *kind;
  if (p.partial < 0 || p.partial > 1) {
    reader_->fail(concat("partial_rotary_factor is ", p.partial, ", expected 0 to 1"));
  }
  p.alpha = keys.numberOr("alpha", 1.0);
  p.originalPositions = keys.integerOr("original_max_position_embeddings", p.maxPositions, 1, kSizeLimit);
  if (defaults.oldLongRopeNames) {
    p.originalPositions = reader_->integerOr("original_max_position_embeddings", p.originalPositions, 1, kSizeLimit);
  }
  readScaling(keys, *this, p);
  readYarnAndLongRope(keys, byLayerType, p);
  makeRope(p, 1, where_);  // checks the parameters
  return p;
}

Architecture Config::decoder(const DecoderDefaults& defaults) const {
  Architecture a;
  a.family = family_;
  a.where = where_;
  a.hidden = size("hidden_size");
  a.heads = static_cast<int>(reader_->integer("num_attention_heads", 1, 1 << 16));
  a.kvHeads = count("num_key_value_heads", a.heads, 1, 1 << 16);
  if (a.heads % a.kvHeads != 0) {
    reader_->fail(concat("num_key_value_heads ", a.kvHeads, " does not divide num_attention_heads ", a.heads));
  }
  const bool classDefault = defaults.headDim > 0 && !contains("head_dim");
  if (!classDefault && !reader_->has("head_dim") && a.hidden % a.heads != 0) {
    reader_->fail(concat("hidden_size ", a.hidden, " is no multiple of num_attention_heads ", a.heads,
                         " and there is no head_dim"));
  }
  a.headDim = count("head_dim", classDefault ? defaults.headDim : a.hidden / a.heads, 1, 1 << 16);
  a.mlpWidth = size("intermediate_size");
  a.vocab = size("vocab_size");
  a.context = reader_->integerOr("max_position_embeddings", 0, 0, kSizeLimit);
  const std::int64_t layers = size("num_hidden_layers");
  if (layers > tensors_) {
    reader_->fail(concat("num_hidden_layers is ", layers, ", but the weights are only ", tensors_, " tensors"));
  }
  a.layers = static_cast<int>(layers);
  a.eps = number(defaults.epsKey, defaults.eps);
  if (a.eps < 0) {
    reader_->fail(concat(defaults.epsKey, " is negative"));
  }
  a.activation = activation("hidden_act", "silu");
  a.tied = tied(defaults.tied);
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

void rotateByType(Architecture& architecture, const std::vector<std::string>& types, RopeParameters full,
                  RopeParameters sliding) {
  architecture.ropes = {std::move(full), std::move(sliding)};
  for (std::size_t i = 0; i < architecture.layer.size(); ++i) {
    architecture.layer[i].rope = types[i] == "sliding_attention" ? 1 : 0;
  }
}

}  // namespace headscope
