// The inside of core/model: where layers go on several GPUs, rows of fused and permuted tensors, and the forward pass
// for training against the prefill. LibTorch headers come before Qt's.

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include "core/model/detail/block.h"
#include "core/model/detail/cross_entropy.h"
#include "core/model/detail/forward.h"
#include "core/model/detail/placement.h"
#include "core/model/detail/weights.h"

#include <cstring>
#include <filesystem>
#include <fstream>

#include <QTemporaryDir>
#include <QtTest>

#include "core/files/atomic_file.h"
#include "core/files/json.h"
#include "core/files/tensor_source.h"
#include "core/model/model.h"

namespace fs = std::filesystem;
using namespace headscope;

namespace {

const fs::path kCommitted = fs::path(HEADSCOPE_SOURCE) / "tests/golden/families";

constexpr const char* kConfig = R"({"model_type": "llama", "hidden_size": 64, "intermediate_size": 128,
  "num_hidden_layers": 8, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 50, "rms_norm_eps": 1e-5,
  "max_position_embeddings": 64, "tie_word_embeddings": true})";

GpuInfo gpu(int index, std::uint64_t freeBytes) {
  return {index, "GPU", freeBytes, freeBytes};
}

std::uint64_t weightBytes(const plan::Decoder& decoder) {
  return static_cast<std::uint64_t>(parameterCount(decoder)) * 4;
}

// So much free memory that the model takes `share` of what may be used.
std::uint64_t roomFor(const plan::Decoder& decoder, double share) {
  return static_cast<std::uint64_t>((static_cast<double>(weightBytes(decoder)) * share + 0.75e9) / 0.80);
}

int layersOn(const Placement& placement, const c10::Device& device) {
  return static_cast<int>(std::count_if(placement.layers.begin(), placement.layers.end(),
                                        [&](const Place& place) { return place.device == device; }));
}

std::map<std::string, at::Tensor> namedTensors(const plan::Decoder& decoder, const fs::path& folder) {
  const auto source = TensorSource::open(folder);
  std::map<std::string, at::Tensor> named;
  for (const plan::Tensor& tensor : decoder.tensors) {
    const TensorView& view = source->at(tensor.name);
    std::vector<float> values(static_cast<std::size_t>(view.elements()));
    toFloats(view.bytes.data(), floatType(view.type).value(), values.size(), values.data());
    named[tensor.name] = at::tensor(values).view(view.shape).clone().set_requires_grad(true);
  }
  return named;
}

/// A small configuration of that family, with the keys of `more`.
plan::Decoder decoderOf(const std::string& family, const std::string& more = "{}") {
  Json config = Json::parse(kConfig);
  config["model_type"] = family;
  config["layer_norm_eps"] = 1e-5;
  config["sliding_window"] = 16;
  config["head_dim"] = 16;
  const Json changes = Json::parse(more);
  for (const auto& [key, value] : changes.items()) {
    if (value == "absent") {
      config.erase(key);
    } else {
      config[key] = value;
    }
  }
  return decoderFromJson(config.dump());
}

/// One letter a layer: S sliding, F full; small where it does not rotate.
std::string pattern(const plan::Decoder& decoder) {
  std::string text;
  for (const plan::Layer& layer : decoder.layers) {
    const char letter = layer.attention.window ? 'S' : 'F';
    text += layer.attention.rope ? letter : static_cast<char>(letter + 32);
  }
  return text;
}

}  // namespace

class ModelDetail : public QObject {
  Q_OBJECT

 private slots:
  void oneGpuTakesAll();
  void gpusShareByFreeMemory();
  void restStaysOnTheHost();
  void unknownDevices();
  void rowsOfFusedTensors();
  void permutedRowsComeBack();
  void configurationDefaults();
  void configurationSpellings();
  void layerPatterns();
  void expertsOfOtherGroupsAreNeverChosen();
  void runsWithoutFiniteValuesAreErrors();
  void lossByRangesOfTheVocabulary();
  void trainingEqualsPrefill();
  void trainingLearns();
  void trainingRefusesWindows();
};

void ModelDetail::oneGpuTakesAll() {
  const plan::Decoder decoder = decoderFromJson(kConfig);
  const Placement placement =
      placeModel(decoder, {gpu(0, roomFor(decoder, 1.5)), gpu(1, roomFor(decoder, 20))}, c10::kFloat);
  QCOMPARE(layersOn(placement, c10::Device(c10::kCUDA, 0)), 8);
  QCOMPARE(placement.device(), std::string("cuda:0"));
  QVERIFY(placement.notes.empty());
  QCOMPARE(placeModel(decoder, {}, c10::kFloat).device(), std::string("cpu"));
}

void ModelDetail::gpusShareByFreeMemory() {
  const plan::Decoder decoder = decoderFromJson(kConfig);
  for (const int count : {2, 3, 4}) {
    std::vector<GpuInfo> gpus;
    for (int index = 0; index < count; ++index) {
      gpus.push_back(gpu(index, roomFor(decoder, 0.9)));
    }
    const Placement placement = placeModel(decoder, gpus, c10::kFloat);
    for (int index = 0; index < count; ++index) {
      const int own = layersOn(placement, c10::Device(c10::kCUDA, static_cast<c10::DeviceIndex>(index)));
      QVERIFY2(own >= 8 / count - 1 && own <= 8 / count + 2, concat(index, ": ", own).c_str());
    }
    QVERIFY(placement.notes.empty());
    QCOMPARE(placement.head.device, placement.embedding.device);  // tied
  }
  const Placement uneven =
      placeModel(decoder, {gpu(0, roomFor(decoder, 0.3)), gpu(1, roomFor(decoder, 0.9))}, c10::kFloat);
  QVERIFY(layersOn(uneven, c10::Device(c10::kCUDA, 1)) > layersOn(uneven, c10::Device(c10::kCUDA, 0)));
  QCOMPARE(layersOn(uneven, c10::Device(c10::kCUDA, 0)) + layersOn(uneven, c10::Device(c10::kCUDA, 1)), 8);
}

void ModelDetail::restStaysOnTheHost() {
  const plan::Decoder decoder = decoderFromJson(kConfig);
  const Placement placement = placeModel(decoder, {gpu(0, roomFor(decoder, 0.5))}, c10::kBFloat16);
  const Placement half = placeModel(decoder, {gpu(0, roomFor(decoder, 0.25))}, c10::kBFloat16);
  QCOMPARE(layersOn(placement, c10::Device(c10::kCUDA, 0)), 8);  // bf16 needs half of f32
  const int there = layersOn(half, c10::Device(c10::kCUDA, 0));
  QVERIFY2(there >= 2 && there <= 6, concat(there).c_str());
  QCOMPARE(half.layers.back(), (Place{c10::kCPU, c10::kFloat}));
  QCOMPARE(half.notes.size(), std::size_t{1});
  QCOMPARE(half.device(), std::string("cuda:0+cpu"));
  const Placement none = placeModel(decoder, {gpu(0, 1000)}, c10::kBFloat16);
  QCOMPARE(none.device(), std::string("cpu"));
}

void ModelDetail::unknownDevices() {
  QVERIFY(namedGpus("cpu").empty());
  for (const char* name : {"gpu", "cuda:", "cuda:x", "cuda:12345", ""}) {
    try {
      namedGpus(name);
      QFAIL(name);
    } catch (const Error& error) {
      QCOMPARE(error.kind(), ErrorKind::Usage);
    }
  }
}

void ModelDetail::rowsOfFusedTensors() {
  const at::Tensor stored = at::arange(24).view({12, 2});
  plan::Tensor part;
  part.begin = 4;
  part.count = 3;
  QVERIFY(takePart(stored, part).equal(stored.narrow(0, 4, 3)));
  part.groups = 3;  // rows 1 and 2 of each group of 4
  part.begin = 1;
  part.count = 2;
  const at::Tensor expected = stored.index_select(0, at::tensor({1, 2, 5, 6, 9, 10}, at::kLong));
  QVERIFY(takePart(stored, part).equal(expected));
  plan::Tensor slab;
  slab.slab = 1;
  slab.transposed = true;
  const at::Tensor fused = at::arange(24).view({2, 3, 4});
  QVERIFY(takePart(fused, slab).equal(fused[1].t()));
}

void ModelDetail::permutedRowsComeBack() {
  constexpr std::int64_t kHeads = 3, kDim = 8;
  const at::Tensor original = at::arange(kHeads * kDim * 2).view({kHeads * kDim, 2});
  at::Tensor stored = at::empty_like(original);
  for (std::int64_t head = 0; head < kHeads; ++head) {
    for (std::int64_t i = 0; i < kDim / 2; ++i) {
      for (std::int64_t a = 0; a < 2; ++a) {
        stored[head * kDim + 2 * i + a].copy_(original[head * kDim + a * kDim / 2 + i]);
      }
    }
  }
  plan::Tensor paired;
  paired.pairedHeads = kHeads;
  QVERIFY(takePart(stored, paired).equal(original));
  QVERIFY(takePart(stored.select(1, 0), paired).equal(original.select(1, 0)));
}

// Families whose RoPE is scaled even if the configuration says nothing, and bases of their own.
void ModelDetail::configurationDefaults() {
  const RopeParameters gptOss =
      decoderOf("gpt_oss", R"({"num_local_experts": 2, "num_experts_per_tok": 1})").ropes.at(0);
  QVERIFY(gptOss.kind == RopeKind::Yarn && !gptOss.truncate);
  QCOMPARE(gptOss.base, 1.5e5);
  QCOMPARE(gptOss.factor, 32.0);
  QCOMPARE(gptOss.originalPositions, 4096);
  const RopeParameters apertus = decoderOf("apertus", R"({"max_position_embeddings": 65536})").ropes.at(0);
  QVERIFY(apertus.kind == RopeKind::Llama3);
  QCOMPARE(apertus.base, 1.2e7);
  QCOMPARE(apertus.originalPositions, 8192);
  const plan::Decoder ministral = decoderOf("ministral3");
  QVERIFY(ministral.ropes.at(0).kind == RopeKind::Yarn && ministral.ropes.at(0).mscale == 1.0);
  QCOMPARE(ministral.layers[0].attention.positionBeta.value(), 0.1);
  QCOMPARE(ministral.layers[0].attention.positionOriginal, 16384);
  const plan::Decoder gemma4 = decoderOf("gemma4_text", R"({"hidden_size_per_layer_input": 0})");
  QVERIFY(gemma4.ropes.at(0).kind == RopeKind::Proportional && gemma4.ropes.at(0).headDim == 512);
  QCOMPARE(gemma4.ropes.at(0).base, 1e6);
  QCOMPARE(gemma4.ropes.at(1).base, 1e4);
  const std::pair<const char*, double> bases[] = {{"llama", 1e4},   {"mixtral", 1e6},  {"cohere", 5e5},
                                                  {"smollm3", 2e6}, {"ernie4_5", 5e5}, {"helium", 1e5},
                                                  {"olmo3", 5e5}};
  for (const auto& [family, base] : bases) {
    QCOMPARE(decoderOf(family, R"({"num_local_experts": 2})").ropes.at(0).base, base);
  }
  QCOMPARE(decoderOf("glm").ropes.at(0).partial, 0.5);
  QCOMPARE(decoderOf("gpt_neox", R"({"rope_theta": 77.0})").ropes.at(0).partial, 0.25);
  QCOMPARE(decoderOf("gpt_neox", R"({"rope_theta": 77.0})").ropes.at(0).base, 1e4);
}

void ModelDetail::configurationSpellings() {
  // rope_scaling replaces rope_parameters, base and all.
  const RopeParameters both = decoderOf("llama", R"({"rope_parameters": {"rope_type": "default", "rope_theta": 7.0},
      "rope_scaling": {"type": "linear", "factor": 3.0}})")
                                  .ropes.at(0);
  QVERIFY(both.kind == RopeKind::Linear);
  QCOMPARE(both.base, 1e4);
  const RopeParameters newer = decoderOf("llama", R"({"rope_scaling": null,
      "rope_parameters": {"rope_type": "linear", "rope_theta": 7.0, "factor": 2.0}})")
                                   .ropes.at(0);
  QCOMPARE(newer.base, 7.0);
  const RopeParameters su = decoderOf("phi3", R"({"original_max_position_embeddings": 32, "rope_scaling":
      {"type": "su", "short_factor": [1,1,1,1,1,1,1,1], "long_factor": [2,2,2,2,2,2,2,2]}})")
                                .ropes.at(0);
  QVERIFY(su.kind == RopeKind::LongRope);
  QCOMPARE(su.originalPositions, 32);
  QCOMPARE(su.factor, 2.0);
  const plan::Decoder olmo3 = decoderOf("olmo3", R"({"rope_theta": 99.0, "rope_scaling": {"type": "yarn",
      "factor": 4.0, "original_max_position_embeddings": 16}})");
  QVERIFY(olmo3.ropes.at(0).kind == RopeKind::Yarn && olmo3.ropes.at(0).base == 99.0);
  QVERIFY(olmo3.ropes.at(1).kind == RopeKind::Default && olmo3.ropes.at(1).base == 5e5);
  // transformers ignores a flat rope_parameters of Gemma 3.
  const plan::Decoder gemma3 = decoderOf("gemma3_text", R"({"rope_parameters": {"rope_theta": 5.0}})");
  QCOMPARE(gemma3.ropes.at(0).base, 1e6);
  QCOMPARE(gemma3.ropes.at(1).base, 1e4);
  // yarn's truncate counts beside the layer types only.
  const plan::Decoder nested = decoderOf("gemma3_text", R"({"rope_parameters": {"full_attention":
      {"rope_type": "yarn", "factor": 2.0, "truncate": false}, "sliding_attention": {"rope_theta": 10.0}}})");
  QVERIFY(nested.ropes.at(0).truncate && nested.ropes.at(1).base == 10.0);
  QCOMPARE(decoderOf("seed_oss", R"({"head_dim": "absent"})").layers[0].attention.headDim, 128);
  QCOMPARE(decoderOf("seed_oss", R"({"head_dim": null})").layers[0].attention.headDim, 16);
}

void ModelDetail::layerPatterns() {
  QCOMPARE(pattern(decoderOf("mistral")), std::string("SSSSSSSS"));
  QCOMPARE(pattern(decoderOf("mistral", R"({"sliding_window": null})")), std::string("FFFFFFFF"));
  QCOMPARE(decoderOf("mistral", R"({"sliding_window": "absent"})").layers[0].attention.window.value(), 4096);
  QCOMPARE(pattern(decoderOf("phi3", R"({"sliding_window": "absent"})")), std::string("FFFFFFFF"));
  QCOMPARE(pattern(decoderOf("qwen2")), std::string("FFFFFFFF"));
  QCOMPARE(pattern(decoderOf("qwen2", R"({"use_sliding_window": true, "max_window_layers": 5})")),
           std::string("FFFFFSSS"));
  QCOMPARE(pattern(decoderOf("gemma2")), std::string("SFSFSFSF"));
  QCOMPARE(pattern(decoderOf("gemma3_text")), std::string("SSSSSFSS"));
  QCOMPARE(pattern(decoderOf("gemma4_text", R"({"hidden_size_per_layer_input": 0})")), std::string("SSSSSFSF"));
  QCOMPARE(pattern(decoderOf("cohere2")), std::string("SSSfSSSf"));
  QCOMPARE(pattern(decoderOf("cohere2", R"({"sliding_window": null})")), std::string("ffffffff"));
  QCOMPARE(pattern(decoderOf("exaone4")), std::string("SSSfSSSf"));
  QCOMPARE(pattern(decoderOf("exaone4", R"({"sliding_window_pattern": "LG"})")), std::string("SfSfSfSf"));
  QCOMPARE(pattern(decoderOf("exaone4", R"({"sliding_window": null})")), std::string("FFFFFFFF"));
  QCOMPARE(pattern(decoderOf("smollm3", R"({"sliding_window": null})")), std::string("FFFfFFFf"));
  QCOMPARE(pattern(decoderOf("olmo3")), std::string("SSSFSSSF"));
  QCOMPARE(pattern(decoderOf("granitemoehybrid", R"({"layer_types": ["attention","attention","attention","attention",
      "attention","attention","attention","attention"], "num_local_experts": 0})")),
           std::string("ffffffff"));
}

// Even where a score of the best group is negative.
void ModelDetail::expertsOfOtherGroupsAreNeverChosen() {
  Weights weights(10);
  int used = 0;
  const auto tensor = [&](const at::Tensor& value) {
    plan::Tensor result;
    result.name = concat("tensor ", used);
    result.slot = used++;
    weights.set(result.slot, value);
    return result;
  };
  plan::Experts experts;
  experts.routing = plan::Routing::Sigmoid;
  experts.chosen = experts.groups = 2;
  experts.router.weight = tensor(at::zeros({4, 1}));
  experts.correction = tensor(at::tensor({0.4F, -0.7F, -0.2F, -0.2F}));  // scores 0.9, −0.2 | 0.3, 0.3
  for (const float factor : {1.0F, 10.0F, 100.0F, 1000.0F}) {
    plan::Mlp mlp;
    mlp.activation = plan::Activation::Relu;
    mlp.up.weight = tensor(at::ones({1, 1}));
    mlp.down.weight = tensor(at::full({1, 1}, factor));
    experts.experts.push_back(mlp);
  }
  const at::Tensor x = at::ones({1, 1});
  QCOMPARE(applyExperts(weights, experts, x, x).item<float>(), 5.5F);  // half of 1 and of 10
}

void ModelDetail::runsWithoutFiniteValuesAreErrors() {
  QTemporaryDir target;
  const fs::path folder = fs::path(target.path().toStdString()) / "damaged";
  fs::copy(kCommitted / "llama_plain__bf16", folder);
  ModelOptions onCpu;
  onCpu.device = "cpu";
  const std::vector<std::int64_t> ids{1, 5, 9, 5, 1};
  QVERIFY(Model::open(folder, onCpu)->run(ids, RunOptions{}).capture != nullptr);
  struct Damage {
    const char* tensor;
    char high;  // with 7F: C0 NaN, 80 infinity
    const char* says;
  };
  for (const Damage& damage : {Damage{"mlp.down_proj", '\xC0', "damaged: the run gives values that are no finite"},
                               Damage{"mlp.down_proj", '\x80', "damaged: the run gives values that are no finite"},
                               Damage{"self_attn.q_proj", '\xC0', "q_proj.weight\" holds NaN or infinity"}}) {
    fs::copy(kCommitted / "llama_plain__bf16", folder, fs::copy_options::overwrite_existing);
    const fs::path file = folder / "model.safetensors";
    std::string bytes = readFile(file);
    const auto source = TensorSource::open(folder);
    const TensorView& view = source->at(concat("model.layers.1.", damage.tensor, ".weight"));
    const std::size_t place = bytes.find(std::string(reinterpret_cast<const char*>(view.bytes.data()), 64));
    QVERIFY(place != std::string::npos);
    bytes[place] = damage.high;
    bytes[place + 1] = '\x7F';
    fs::remove(file);
    std::ofstream(file, std::ios::binary) << bytes;
    const auto refused = [&](const auto& use) {
      try {
        use(*Model::open(folder, onCpu));
        return std::string("it ran");
      } catch (const Error& error) {
        return std::string(error.what());
      }
    };
    GenerateOptions more;
    more.count = 2;
    for (const std::string& message : {refused([&](Model& model) { model.run(ids, RunOptions{}); }),
                                       refused([&](Model& model) { model.generate(ids, more); })}) {
      QVERIFY2(message.find(damage.says) != std::string::npos, message.c_str());
    }
  }
}

// Ranges that end anywhere, logits from small to huge, peaks in the first and in the last range.
void ModelDetail::lossByRangesOfTheVocabulary() {
  const std::int64_t rows = 7, vocab = 101;
  const at::Tensor next = at::arange(rows) * 31 % vocab;
  for (const double scale : {0.1, 5.0, 300.0}) {
    const at::Tensor logits = at::randn({rows, vocab}) * scale;
    const double expected = at::cross_entropy_loss(logits.to(at::kDouble), next).item<double>() * rows;
    for (const std::int64_t range : {1, 17, 50, 101}) {
      CrossEntropy entropy(next);
      for (std::int64_t id = 0; id < vocab; id += range) {
        entropy.add(id, logits.narrow(1, id, std::min(range, vocab - id)).clone());
      }
      QVERIFY2(std::abs(entropy.sum() - expected) <= 1e-5 * (1 + expected), concat(range, " ", entropy.sum()).c_str());
    }
  }
}

void ModelDetail::trainingEqualsPrefill() {
  const fs::path folder = kCommitted / "llama_plain__bf16";
  const plan::Decoder decoder = decoderFromJson(readFile(folder / "config.json"));
  const auto named = namedTensors(decoder, folder);
  const at::Tensor ids = at::arange(20) * 7 % decoder.vocab;
  const at::Tensor logits = forwardLogits(decoder, namedWeights(decoder, named), at::stack({ids, ids.flip(0)}));
  ModelOptions options;
  options.device = "cpu";
  RunOptions run;
  run.logits = true;
  const std::vector<std::int64_t> list(ids.const_data_ptr<std::int64_t>(), ids.const_data_ptr<std::int64_t>() + 20);
  RunResult result = Model::open(folder, options)->run(list, run);
  const at::Tensor own = at::from_blob(result.logits.data(), {20, decoder.vocab}, at::kFloat);
  QVERIFY((logits[0] - own).abs().max().item<float>() < 1e-4F);
  logits.sum().backward();
  for (const auto& [name, tensor] : named) {
    QVERIFY2(tensor.grad().defined(), name.c_str());
  }
}

void ModelDetail::trainingLearns() {
  const plan::Decoder decoder = decoderFromJson(kConfig);
  std::map<std::string, at::Tensor> named = randomWeights(decoder, 5, at::kCPU);
  for (auto& [name, tensor] : named) {
    tensor.set_requires_grad(true);
  }
  const at::Tensor ids = (at::arange(24) * 11 % 50).unsqueeze(0);
  double first = 0, last = 0;
  for (int step = 0; step < 40; ++step) {
    const at::Tensor logits = forwardLogits(decoder, namedWeights(decoder, named), ids);
    const at::Tensor loss =
        at::cross_entropy_loss(logits.narrow(1, 0, 23).flatten(0, 1), ids.narrow(1, 1, 23).flatten());
    loss.backward();
    last = loss.item<double>();
    first = step == 0 ? last : first;
    const c10::AutoGradMode off(false);
    for (auto& [name, tensor] : named) {
      tensor.sub_(tensor.grad() * 0.3);
      tensor.mutable_grad() = at::Tensor();
    }
  }
  QVERIFY2(std::abs(first - std::log(50.0)) < 0.3 && last < 0.7 * first, concat(first, " ", last).c_str());
}

void ModelDetail::trainingRefusesWindows() {
  const plan::Decoder decoder = decoderFromJson(readFile(kCommitted / "gemma2__bf16/config.json"));
  QVERIFY_EXCEPTION_THROWN(randomWeights(decoder, 1, at::kCPU), Error);
}

QTEST_GUILESS_MAIN(ModelDetail)
#include "tst_model_detail.moc"
