#include "core/model/detail/model_files.h"

#include <algorithm>
#include <system_error>
#include <utility>

#include "core/base/error.h"
#include "core/model/detail/architecture.h"
#include "core/model/detail/config.h"
#include "core/model/detail/gguf_model.h"
#include "core/model/families/families.h"

namespace headscope {
namespace {

namespace fs = std::filesystem;

std::string nameOf(const fs::path& path) {
  std::error_code ignored;
  const fs::path full = fs::weakly_canonical(path, ignored);
  const fs::path& named = full.empty() ? path : full;
  return fs::is_directory(named, ignored) ? named.filename().string() : named.stem().string();
}

// transformers 5 holds the experts of a layer in two tensors; files written with its own names are read too.
void acceptFusedExperts(Architecture& architecture, const WeightFiles& weights) {
  if (!architecture.experts || architecture.experts->layout != ExpertLayout::Separate) {
    return;
  }
  ExpertTraits& experts = *architecture.experts;
  const auto first = std::find_if(architecture.layer.begin(), architecture.layer.end(),
                                  [](const LayerTraits& layer) { return layer.experts; });
  const std::string prefix = concat(architecture.names.layerPrefix, first - architecture.layer.begin(), ".");
  const bool separate = weights.find(concat(prefix, experts.prefix, "0.", experts.down, ".weight")).has_value();
  if (!separate && weights.find(prefix + experts.fusedGateUp)) {
    experts.layout = ExpertLayout::Fused;
    experts.router = "mlp.gate";
  }
}

ModelFiles openFolder(const fs::path& path) {
  const fs::path file = path / "config.json";
  std::error_code ignored;
  if (!fs::exists(file, ignored)) {
    throw Error(file.string(), "is not there: a model folder needs config.json beside its safetensors files");
  }
  Json json = readJson(file);
  const auto source = TensorSource::open(path);
  const Config config(std::move(json), file.string(), static_cast<std::int64_t>(source->tensors().size()));
  Architecture architecture = readArchitecture(config);
  ModelFiles files;
  files.format = "hf";
  files.weights = safetensorsWeights(source, config.wrapped());
  acceptFusedExperts(architecture, *files.weights);
  files.decoder = makePlan(architecture);
  if (config.wrapped()) {
    files.decoder.notes.push_back("the text decoder of a multimodal model: other parts are not loaded");
  }
  untieIfDifferent(files.decoder, *files.weights, architecture.names.head + ".weight");
  return files;
}

std::string layerList(const std::vector<int>& layers) {
  std::string text;
  for (const int layer : layers) {
    text = text.empty() ? std::to_string(layer) : concat(text, ", ", layer);
  }
  return text;
}

// What a careful user should know about a model beside its sizes.
std::vector<std::string> notesOn(const ModelFiles& files) {
  const plan::Decoder& decoder = files.decoder;
  std::vector<std::string> notes = decoder.notes;
  std::vector<int> unrotated, borrowing;
  bool sinks = false;
  for (int i = 0; i < static_cast<int>(decoder.layers.size()); ++i) {
    const plan::Attention& attention = decoder.layers[static_cast<std::size_t>(i)].attention;
    sinks = sinks || attention.sinks;
    if (!attention.rope) {
      unrotated.push_back(i);
    }
    if (attention.keysFrom) {
      borrowing.push_back(i);
    }
  }
  if (!unrotated.empty()) {
    notes.push_back(concat("no RoPE in layers ", layerList(unrotated)));
  }
  if (!borrowing.empty()) {
    notes.push_back(concat("keys and values of an earlier layer are read in layers ", layerList(borrowing)));
  }
  if (sinks) {
    notes.push_back("each head has a sink logit: rows of probabilities sum to less than 1");
  }
  for (const RopeParameters& rope : decoder.ropes) {
    if (rope.dependsOnLength()) {
      notes.push_back(concat("RoPE depends on the length of the text: beyond ",
                             rope.kind == RopeKind::Dynamic ? rope.maxPositions : rope.originalPositions,
                             " tokens every query and key is another one"));
    }
  }
  const std::string type = files.weights->commonType();
  if (type != "f32" && type != "bf16" && type != "f16") {
    notes.push_back(concat("weights are stored as ", type, " and decoded: activations are not quantized"));
  }
  return notes;
}

}  // namespace

ModelFiles openModelFiles(const fs::path& path) {
  std::error_code ignored;
  if (!fs::exists(path, ignored)) {
    throw Error(path.string(), "there is no such file or folder");
  }
  ModelFiles files = fs::is_directory(path, ignored) ? openFolder(path) : openGguf(path);
  files.path = path;
  if (files.decoder.name.empty()) {
    files.decoder.name = nameOf(path);
  }
  checkWeights(files.decoder, *files.weights);
  return files;
}

std::vector<AttentionSpec> attentionSpecs(const ModelFiles& files) {
  std::vector<AttentionSpec> specs;
  for (const plan::Layer& layer : files.decoder.layers) {
    AttentionSpec spec = plan::attentionSpec(layer.attention);
    if (layer.attention.qkNorm == plan::QkNorm::HeadAfterRope) {
      PostRopeStep step;
      step.kind = PostRopeStep::Kind::RmsNorm;
      step.eps = layer.attention.qNorm.eps;
      step.q = readTensor(*files.weights, layer.attention.qNorm.weight.name);
      step.k = readTensor(*files.weights, layer.attention.kNorm.weight.name);
      spec.postRope.push_back(std::move(step));
    }
    specs.push_back(std::move(spec));
  }
  return specs;
}

std::vector<std::vector<float>> sinksOf(const ModelFiles& files) {
  std::vector<std::vector<float>> sinks;
  for (const plan::Layer& layer : files.decoder.layers) {
    const plan::Tensor& tensor = layer.attention.sinks;
    sinks.push_back(tensor ? readTensor(*files.weights, tensor.name) : std::vector<float>());
  }
  return sinks;
}

std::vector<CaptureBuilder::LayerShape> layerShapes(const plan::Decoder& decoder) {
  std::vector<CaptureBuilder::LayerShape> shapes;
  for (const plan::Layer& layer : decoder.layers) {
    shapes.push_back({layer.attention.heads, layer.attention.kvHeads, layer.attention.headDim});
  }
  return shapes;
}

std::vector<Rope> ropesFor(const plan::Decoder& decoder, std::int64_t tokens) {
  std::vector<Rope> ropes;
  for (const RopeParameters& parameters : decoder.ropes) {
    ropes.push_back(makeRope(parameters, tokens, decoder.where));
  }
  return ropes;
}

ModelInfo modelInfo(const ModelFiles& files) {
  const plan::Decoder& decoder = files.decoder;
  ModelInfo info;
  info.path = files.path;
  info.name = decoder.name;
  info.format = files.format;
  info.family = decoder.family;
  info.layers = static_cast<int>(decoder.layers.size());
  info.shapes = layerShapes(decoder);
  info.heads = info.shapes.front().heads;
  info.kvHeads = info.shapes.front().kvHeads;
  info.headDim = info.shapes.front().dim;
  info.hidden = decoder.hidden;
  info.vocab = decoder.vocab;
  info.contextLength = decoder.context;
  info.parameters = parameterCount(decoder);
  info.bytes = files.weights->bytes();
  info.weightType = files.weights->commonType();
  info.tied = decoder.tied;
  info.experts = std::any_of(decoder.layers.begin(), decoder.layers.end(),
                             [](const plan::Layer& layer) { return static_cast<bool>(layer.experts); });
  info.attention = attentionSpecs(files);
  info.ropes = ropesFor(decoder, 1);
  info.notes = notesOn(files);
  return info;
}

ModelInfo inspectModel(const fs::path& path) {
  return modelInfo(openModelFiles(path));
}

}  // namespace headscope
