#include "core/capture/capture_format.h"

#include <cmath>
#include <limits>

#include "core/files/json.h"

namespace headscope::capture_format {
namespace {

constexpr std::int64_t kMaxLayers = 10'000;
constexpr std::int64_t kMaxHeads = 65'536;
constexpr std::int64_t kMaxDim = 65'536;
constexpr std::int64_t kMaxTokens = std::int64_t{1} << 40;

std::string weightName(int layer, std::size_t step, const char* side) {
  return concat("post_rope.", layer, ".", step, ".", side);
}

OrderedJson postRopeJson(const PostRopeStep& step, int layer, std::size_t index) {
  if (step.kind == PostRopeStep::Kind::PositionScale) {
    return {{"op", "position_scale"}, {"beta", step.beta}, {"original", step.original}};
  }
  return {{"op", "rms_norm"},
          {"eps", step.eps},
          {"q", weightName(layer, index, "q")},
          {"k", weightName(layer, index, "k")}};
}

OrderedJson attentionJson(const AttentionSpec& spec, int layer) {
  OrderedJson json = OrderedJson::object();
  json["scale"] = spec.scale;
  json["window"] = spec.window ? OrderedJson(*spec.window) : OrderedJson();
  json["softcap"] = spec.softcap ? OrderedJson(*spec.softcap) : OrderedJson();
  json["rope"] = spec.rope ? OrderedJson(*spec.rope) : OrderedJson();
  if (!spec.postRope.empty()) {
    OrderedJson steps = OrderedJson::array();
    for (std::size_t i = 0; i < spec.postRope.size(); ++i) {
      steps.push_back(postRopeJson(spec.postRope[i], layer, i));
    }
    json["post_rope"] = std::move(steps);
  }
  return json;
}

OrderedJson ropeJson(const Rope& rope) {
  return {{"pairing", rope.pairing == RopePairing::Half ? "half" : "interleaved"},
          {"inv_freq", rope.invFreq},
          {"attention_scaling", rope.attentionScaling},
          {"rotary_dims", rope.rotaryDims},
          {"base", rope.base}};
}

void requireKey(const Json& object, const char* key, const JsonReader& reader) {
  if (!object.contains(key)) {
    reader.fail(concat("\"", key, "\" is missing"));
  }
}

const Json& list(const JsonReader& reader, const char* key) {
  const Json& value = reader.at(key);
  if (!value.is_array()) {
    reader.fail(concat("\"", key, "\" is no list"));
  }
  return value;
}

PostRopeStep parsePostRope(const Json& json, const std::string& where, const WeightReader& weight) {
  const JsonReader reader(json, where);
  const std::string op = reader.string("op");
  PostRopeStep step;
  if (op == "position_scale") {
    step.kind = PostRopeStep::Kind::PositionScale;
    step.beta = reader.number("beta");
    step.original = reader.integer("original", 1, kMaxTokens);
  } else if (op == "rms_norm") {
    step.kind = PostRopeStep::Kind::RmsNorm;
    step.eps = reader.number("eps");
    step.q = weight(reader.string("q"));
    step.k = weight(reader.string("k"));
  } else {
    throw Error(where, concat("\"op\" is \"", op.substr(0, 60), "\", which this program does not know"),
                ErrorKind::Unsupported);
  }
  return step;
}

AttentionSpec parseAttention(const Json& json, const std::string& where, const WeightReader& weight) {
  const JsonReader reader(json, where);
  for (const char* key : {"window", "softcap", "rope"}) {
    requireKey(json, key, reader);  // null has a meaning of its own
  }
  AttentionSpec spec;
  spec.scale = reader.number("scale");
  if (reader.has("window")) {
    spec.window = reader.integer("window", 1, kMaxTokens);
  }
  if (reader.has("softcap")) {
    spec.softcap = reader.number("softcap");
  }
  if (reader.has("rope")) {
    spec.rope = static_cast<int>(reader.integer("rope", 0, kMaxLayers));
  }
  if (reader.has("post_rope")) {
    const Json& steps = list(reader, "post_rope");
    for (std::size_t i = 0; i < steps.size(); ++i) {
      spec.postRope.push_back(parsePostRope(steps[i], concat(where, ", post_rope[", i, "]"), weight));
    }
  }
  return spec;
}

Rope parseRope(const Json& json, const std::string& where) {
  const JsonReader reader(json, where);
  Rope rope;
  const std::string pairing = reader.string("pairing");
  if (pairing != "half" && pairing != "interleaved") {
    reader.fail(concat("\"pairing\" is \"", pairing.substr(0, 60), "\", expected half or interleaved"));
  }
  rope.pairing = pairing == "half" ? RopePairing::Half : RopePairing::Interleaved;
  rope.rotaryDims = static_cast<int>(reader.integer("rotary_dims", 2, kMaxDim));
  rope.attentionScaling = reader.number("attention_scaling");
  rope.base = reader.number("base");
  const Json& frequencies = list(reader, "inv_freq");
  for (const Json& value : frequencies) {
    if (!value.is_number()) {
      reader.fail("\"inv_freq\" holds something that is no number");
    }
    rope.invFreq.push_back(value.get<double>());
  }
  return rope;
}

void checkRope(const Rope& rope, const std::string& where) {
  if (rope.rotaryDims < 2 || rope.rotaryDims % 2 != 0) {
    throw Error(where, concat("\"rotary_dims\" is ", rope.rotaryDims, ", expected an even number"));
  }
  if (rope.invFreq.size() != static_cast<std::size_t>(rope.channels())) {
    throw Error(where, concat("\"inv_freq\" has ", rope.invFreq.size(), " numbers, \"rotary_dims\" ", rope.rotaryDims,
                              " needs ", rope.channels()));
  }
  for (const double frequency : rope.invFreq) {
    if (!std::isfinite(frequency)) {
      throw Error(where, "\"inv_freq\" holds something that is not finite");
    }
  }
  if (!std::isfinite(rope.attentionScaling)) {
    throw Error(where, "\"attention_scaling\" is not finite");
  }
  if (!(rope.base > 0)) {
    throw Error(where, concat("\"base\" is ", rope.base, ", expected a positive number"));
  }
}

void checkAttention(const AttentionSpec& spec, std::size_t ropes, const std::string& where) {
  if (!std::isfinite(spec.scale)) {
    throw Error(where, "\"scale\" is not finite");
  }
  if (spec.window && *spec.window < 1) {
    throw Error(where, concat("\"window\" is ", *spec.window, ", expected at least 1"));
  }
  if (spec.softcap && !(*spec.softcap > 0)) {
    throw Error(where, concat("\"softcap\" is ", *spec.softcap, ", expected a positive number"));
  }
  if (spec.rope && (*spec.rope < 0 || static_cast<std::size_t>(*spec.rope) >= ropes)) {
    throw Error(where, concat("\"rope\" is ", *spec.rope, ", but \"ropes\" has ", ropes));
  }
}

std::vector<std::string> parseTexts(const JsonReader& reader, const char* key) {
  std::vector<std::string> texts;
  for (const Json& text : list(reader, key)) {
    if (!text.is_string()) {
      reader.fail(concat("\"", key, "\" holds something that is no text"));
    }
    texts.push_back(text.get<std::string>());
  }
  return texts;
}

std::span<const std::byte> asBytes(std::span<const std::int64_t> numbers) {
  return std::as_bytes(numbers);
}

}  // namespace

std::string tensorName(std::string_view kind, int layer) {
  return concat(kind, ".", layer);
}

std::string metadataText(const CaptureHeader& header) {
  OrderedJson json = OrderedJson::object();
  json["version"] = kVersion;
  json["model"] = header.model;
  json["family"] = header.family;
  json["layers"] = header.layers;
  json["heads"] = header.heads;
  json["kv_heads"] = header.kvHeads;
  json["head_dim"] = header.headDim;
  json["attention"] = OrderedJson::array();
  for (std::size_t layer = 0; layer < header.attention.size(); ++layer) {
    json["attention"].push_back(attentionJson(header.attention[layer], static_cast<int>(layer)));
  }
  json["ropes"] = OrderedJson::array();
  for (const Rope& rope : header.ropes) {
    json["ropes"].push_back(ropeJson(rope));
  }
  if (!header.tokens.empty()) {
    json["tokens"] = header.tokens;
  }
  if (!header.text.empty()) {
    json["text"] = header.text;
  }
  if (!header.headNotes.empty()) {
    json["head_notes"] = header.headNotes;
  }
  return json.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
}

CaptureHeader parseMetadata(std::string_view text, const std::string& where, const WeightReader& weight) {
  const Json json = parseJson(text, where);
  const JsonReader reader(json, where);
  const std::int64_t version = reader.integer("version", 0, std::numeric_limits<int>::max());
  if (version != kVersion) {
    throw Error(where, concat("is a capture of version ", version, ", this program reads version ", kVersion),
                ErrorKind::Unsupported);
  }
  CaptureHeader header;
  header.model = reader.string("model");
  header.family = reader.string("family");
  header.layers = static_cast<int>(reader.integer("layers", 1, kMaxLayers));
  header.heads = static_cast<int>(reader.integer("heads", 1, kMaxHeads));
  header.kvHeads = static_cast<int>(reader.integer("kv_heads", 1, kMaxHeads));
  header.headDim = static_cast<int>(reader.integer("head_dim", 1, kMaxDim));
  const Json& attention = list(reader, "attention");
  for (std::size_t i = 0; i < attention.size(); ++i) {
    header.attention.push_back(parseAttention(attention[i], concat(where, ": attention[", i, "]"), weight));
  }
  const Json& ropes = list(reader, "ropes");
  for (std::size_t i = 0; i < ropes.size(); ++i) {
    header.ropes.push_back(parseRope(ropes[i], concat(where, ": ropes[", i, "]")));
  }
  if (reader.has("tokens")) {
    header.tokens = parseTexts(reader, "tokens");
  }
  if (reader.has("head_notes")) {
    header.headNotes = parseTexts(reader, "head_notes");
  }
  header.text = reader.stringOr("text", "");
  return header;
}

void checkHeader(const CaptureHeader& header, const std::string& where) {
  if (header.attention.size() != static_cast<std::size_t>(header.layers)) {
    throw Error(
        where, concat("\"attention\" describes ", header.attention.size(), " layers, \"layers\" says ", header.layers));
  }
  if (header.kvHeads < 1 || header.heads % header.kvHeads != 0) {
    throw Error(where, concat("\"heads\" ", header.heads, " is no multiple of \"kv_heads\" ", header.kvHeads));
  }
  const std::size_t heads = static_cast<std::size_t>(header.layers) * static_cast<std::size_t>(header.heads);
  if (!header.headNotes.empty() && header.headNotes.size() != heads) {
    throw Error(where, concat("\"head_notes\" holds ", header.headNotes.size(), " texts for ", heads, " heads"));
  }
  for (std::size_t i = 0; i < header.ropes.size(); ++i) {
    checkRope(header.ropes[i], concat(where, ": ropes[", i, "]"));
  }
  for (std::size_t i = 0; i < header.attention.size(); ++i) {
    checkAttention(header.attention[i], header.ropes.size(), concat(where, ": attention[", i, "]"));
  }
}

void checkLayer(const CaptureHeader& header, int layer, int heads, int kvHeads, int dim, const std::string& where) {
  const std::string q = tensorName("q", layer);
  if (heads != header.heads) {
    throw Error(where, concat("\"", q, "\" has ", heads, " heads, \"heads\" says ", header.heads));
  }
  if (kvHeads < 1 || heads % kvHeads != 0) {
    throw Error(where, concat("\"", tensorName("k", layer), "\" has ", kvHeads, " heads, which doesn't divide the ",
                              heads, " of \"", q, "\""));
  }
  const AttentionSpec& spec = header.attention[static_cast<std::size_t>(layer)];
  if (spec.rope && header.ropes[static_cast<std::size_t>(*spec.rope)].rotaryDims > dim) {
    throw Error(where, concat("\"", q, "\" has ", dim, " dims, its RoPE rotates ",
                              header.ropes[static_cast<std::size_t>(*spec.rope)].rotaryDims));
  }
  for (const PostRopeStep& step : spec.postRope) {
    if (step.kind == PostRopeStep::Kind::RmsNorm &&
        (step.q.size() != static_cast<std::size_t>(dim) || step.k.size() != static_cast<std::size_t>(dim))) {
      throw Error(where, concat("attention[", layer, "]: the weights of \"rms_norm\" don't have the ", dim,
                                " dims of \"", q, "\""));
    }
  }
}

std::vector<TensorDeclaration> declareTensors(const CaptureHeader& header, std::int64_t tokens,
                                              std::span<const LayerPlan> layers) {
  std::vector<TensorDeclaration> tensors;
  if (!header.ids.empty()) {
    tensors.push_back({"ids", TensorType::I64, {tokens}});
  }
  if (!header.positions.empty()) {
    tensors.push_back({"positions", TensorType::I64, {tokens}});
  }
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const LayerPlan& plan = layers[i];
    const int layer = static_cast<int>(i);
    const std::vector<PostRopeStep>& steps = header.attention[i].postRope;
    for (std::size_t s = 0; s < steps.size(); ++s) {
      if (steps[s].kind == PostRopeStep::Kind::RmsNorm) {
        tensors.push_back({weightName(layer, s, "q"), TensorType::F32, {plan.dim}});
        tensors.push_back({weightName(layer, s, "k"), TensorType::F32, {plan.dim}});
      }
    }
    if (plan.sinks) {
      tensors.push_back({tensorName("sinks", layer), TensorType::F32, {plan.heads}});
    }
    tensors.push_back({tensorName("q", layer), tensorType(plan.q), {plan.heads, tokens, plan.dim}});
    tensors.push_back({tensorName("k", layer), tensorType(plan.k), {plan.kvHeads, tokens, plan.dim}});
    if (plan.v) {
      tensors.push_back({tensorName("v", layer), tensorType(*plan.v), {plan.kvHeads, tokens, plan.dim}});
    }
    if (plan.lse) {
      tensors.push_back({tensorName("lse", layer), TensorType::F32, {plan.heads, tokens}});
    }
  }
  return tensors;
}

void writeHeaderTensors(SafetensorsWriter& writer, const CaptureHeader& header) {
  if (!header.ids.empty()) {
    writer.write("ids", 0, asBytes(header.ids));
  }
  if (!header.positions.empty()) {
    writer.write("positions", 0, asBytes(header.positions));
  }
  for (std::size_t layer = 0; layer < header.attention.size(); ++layer) {
    const std::vector<PostRopeStep>& steps = header.attention[layer].postRope;
    for (std::size_t s = 0; s < steps.size(); ++s) {
      if (steps[s].kind == PostRopeStep::Kind::RmsNorm) {
        writer.write(weightName(static_cast<int>(layer), s, "q"), 0, std::as_bytes(std::span(steps[s].q)));
        writer.write(weightName(static_cast<int>(layer), s, "k"), 0, std::as_bytes(std::span(steps[s].k)));
      }
    }
  }
}

}  // namespace headscope::capture_format
