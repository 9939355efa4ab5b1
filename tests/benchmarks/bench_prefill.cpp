// Prefill of a model with and without capture, beside a plain loop over ATen's linear and
// scaled_dot_product_attention on the same weights: what a straightforward LibTorch program does, and what Hugging
// Face transformers does with sdpa.
//
//   bench_prefill [MODEL] [TOKENS] [ROUNDS] [DEVICE] [DTYPE] [BLOCK] [scores]
//
// MODEL: a Llama-like folder or GGUF file (default: SmolLM2-135M where resources/ puts it), or "llama-8b": random
// weights in the shape of Llama-3.1-8B, made on the device. With "scores": the scores of all heads and the wall, too.

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/rsqrt.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/silu.h>
#include <c10/core/InferenceMode.h>

#include "core/analysis/device/device_report.h"
#include "core/analysis/report.h"
#include "core/maps/thumbnails.h"
#include "core/model/detail/block.h"
#include "core/model/detail/engine.h"
#include "core/model/detail/forward.h"
#include "core/model/detail/prefill.h"
#include "tests/benchmarks/measure.h"
#include "tests/benchmarks/profiled_program.h"

using namespace headscope;

namespace {

at::Tensor rms(const at::Tensor& x, const at::Tensor& weight, double eps) {
  const at::Tensor y = x.to(at::kFloat);
  return (y * at::rsqrt(y.square().mean(-1, true) + eps)).to(x.scalar_type()) * weight;
}

at::Tensor turned(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin) {
  const auto halves = x.chunk(2, -1);
  return x * cos + at::cat({-halves[1], halves[0]}, -1) * sin;
}

// One forward pass as a textbook writes it: [1, heads, tokens, D].
at::Tensor plainLoop(const Engine& engine, const at::Tensor& ids, bool logits) {
  const plan::Decoder& decoder = engine.decoder();
  const Weights& w = engine.weights;
  const std::int64_t tokens = ids.size(0);
  const RotaryTable table =
      rotaryTable(makeRope(decoder.ropes[0], tokens, ""), 0, tokens, engine.placement.head.device);
  const at::Tensor cos = at::cat({table.cos, table.cos}, -1).to(engine.type());
  const at::Tensor sin = at::cat({table.sin, table.sin}, -1).to(engine.type());
  at::Tensor x = at::embedding(w[decoder.embedding], ids).unsqueeze(0);
  for (const plan::Layer& layer : decoder.layers) {
    const plan::Attention& a = layer.attention;
    const at::Tensor n = rms(x, w[layer.attentionIn.weight], layer.attentionIn.eps);
    const auto heads = [&](const plan::Linear& linear, std::int64_t count) {
      return at::linear(n, w[linear.weight]).view({1, tokens, count, a.headDim}).transpose(1, 2);
    };
    const at::Tensor q = turned(heads(a.q, a.heads), cos, sin);
    const at::Tensor k = turned(heads(a.k, a.kvHeads), cos, sin);
    const at::Tensor mixed =
        at::scaled_dot_product_attention(q, k, heads(a.v, a.kvHeads), {}, 0.0, true, a.scale, true);
    x = x + at::linear(mixed.transpose(1, 2).reshape({1, tokens, -1}), w[a.o.weight]);
    const at::Tensor m = rms(x, w[layer.mlpIn.weight], layer.mlpIn.eps);
    x = x + at::linear(at::silu(at::linear(m, w[layer.mlp.gate.weight])) * at::linear(m, w[layer.mlp.up.weight]),
                       w[layer.mlp.down.weight]);
  }
  const at::Tensor last = rms(x, w[decoder.finalNorm.weight], decoder.finalNorm.eps);
  return at::linear(logits ? last : last.narrow(1, tokens - 1, 1), w[decoder.head.weight]);
}

constexpr const char* kLlama8b = R"({"model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336,
  "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128256,
  "max_position_embeddings": 131072, "rms_norm_eps": 1e-5, "rope_theta": 500000.0})";

Engine randomEngine(const ModelOptions& options) {
  Engine engine;
  engine.threads = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  engine.files.decoder = decoderFromJson(kLlama8b);
  engine.files.decoder.name = "random Llama-3.1-8B";
  plan::Decoder& decoder = engine.files.decoder;
  engine.placement = placeModel(decoder, namedGpus(options.device), chooseType(options.arithmetic, true, "bf16"));
  engine.layerParameters = parameterCount(decoder) / engine.layers();
  engine.weights = Weights(decoder.tensors.size());
  for (const plan::Tensor& tensor : decoder.tensors) {
    const Place& place = engine.placement.of(decoder.tensorLayers[static_cast<std::size_t>(tensor.slot)]);
    const at::TensorOptions kind = at::dtype(place.type).device(place.device);
    engine.weights.set(tensor.slot, tensor.shape.size() == 1 ? at::ones(tensor.shape, kind)
                                                             : at::randn(tensor.shape, kind).mul_(0.02));
  }
  return engine;
}

std::filesystem::path defaultModel() {
  const char* home = std::getenv("HOME");
  return std::filesystem::path(home != nullptr ? home : "/") / ".cache/headscope/SmolLM2-135M-Instruct.Q4_1.gguf";
}

ArithmeticType arithmetic(const std::string& name) {
  return name == "bf16"  ? ArithmeticType::BF16
         : name == "f16" ? ArithmeticType::F16
         : name == "f32" ? ArithmeticType::F32
                         : ArithmeticType::Auto;
}

}  // namespace

namespace {

/// How far two reports of the same heads are apart.
void compareReports(const Report& a, const Report& b) {
  double apart = 0;
  std::int64_t heads = 0, labels = 0;
  for (std::size_t l = 0; l < a.layers.size(); ++l) {
    for (std::size_t h = 0; h < a.layers[l].heads.size(); ++h) {
      const HeadReport &x = a.layers[l].heads[h], &y = b.layers[l].heads[h];
      for (std::size_t s = 0; s < kScoreCount; ++s) {
        const double difference = std::abs(x.scores.values[s] - y.scores.values[s]);
        apart =
            std::isnan(difference) ? apart : std::max(apart, difference / std::max(1.0, std::abs(x.scores.values[s])));
      }
      ++heads;
      labels += x.cases.label == y.cases.label && x.cases.predictedLabel == y.cases.predictedLabel ? 1 : 0;
    }
  }
  std::printf("  computed on %s %s; scores apart by %.1e at most, labels the same for %lld of %lld heads\n",
              b.device.c_str(), b.note.c_str(), apart, static_cast<long long>(labels), static_cast<long long>(heads));
}

void profileScores(const Capture& capture, const AnalysisOptions& options) {
  std::string reason;
  bench::ProfiledProgram program(device::HeadProgram::open(0, reason));
  std::vector<int> layers(static_cast<std::size_t>(capture.header().layers));
  std::iota(layers.begin(), layers.end(), 0);
  device::analyzeLayers(program, capture, layers, options, {});
  program.print();
}

}  // namespace

// What follows a run in the window: scores of all heads and the wall of thumbnails.
void afterwards(const Engine& engine, const std::vector<std::int64_t>& ids, double prefillSeconds) {
  RunOptions options;
  options.loss = false;
  options.deviceRows = true;
  const RunResult result = prefill(engine, ids, options, {});
  std::vector<ThumbnailRequest::Head> heads;
  for (int layer = 0; layer < result.capture->header().layers; ++layer) {
    for (int head = 0; head < result.capture->layer(layer).heads; ++head) {
      heads.push_back({layer, head});
    }
  }
  const auto timed = [&](const char* what, const auto& work) {
    const auto begin = std::chrono::steady_clock::now();
    work();
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    std::printf("%-46s %8.3f s, %.2f times the prefill\n", what, seconds, seconds / prefillSeconds);
    std::fflush(stdout);
  };
  std::printf("\n%zu heads\n", heads.size());
  timed("thumbnails, 64 px, from sampled rows",
        [&] { sampleThumbnails(*result.capture, std::span<const ThumbnailRequest::Head>(heads), 64); });
  AnalysisOptions estimate = estimateOptions();
  Report processor;
  timed("scores of all heads, estimate", [&] { processor = analyzeCapture(*result.capture, estimate); });
  if (!engine.usesGpu()) {
    return;
  }
  estimate.device = engine.placement.head.device.str();
  Report gpu;
  for (const char* what :
       {"the same on the GPU, first time", "the same on the GPU", "the same on the GPU, once more"}) {
    timed(what, [&] { gpu = analyzeCapture(*result.capture, estimate); });
  }
  compareReports(processor, gpu);
  AnalysisOptions exact;
  exact.device = estimate.device;
  if (static_cast<double>(ids.size()) < 1e4) {
    timed("exact scores on the GPU", [&] { analyzeCapture(*result.capture, exact); });
  }
  const bool kept = result.capture->deviceRows(0).has_value();
  result.capture->dropDeviceRows();
  std::printf("  rows of the run %s on the GPU\n", kept ? "were still" : "were not");
  timed("the same, rows brought back", [&] { gpu = analyzeCapture(*result.capture, estimate); });
  profileScores(*result.capture, estimate);
}

int main(int argc, char** argv) {
  const std::filesystem::path path = argc > 1 ? argv[1] : defaultModel();
  const std::int64_t tokens = argc > 2 ? std::atoll(argv[2]) : 2048;
  const int rounds = argc > 3 ? std::atoi(argv[3]) : 5;
  const bool random = path == "llama-8b";
  if (!random && !std::filesystem::exists(path)) {
    std::printf("bench_prefill: %s is not here\n", path.c_str());
    return 0;
  }
  ModelOptions options;
  options.device = argc > 4 ? argv[4] : "cpu";
  options.arithmetic = arithmetic(argc > 5 ? argv[5] : "auto");
  const c10::InferenceMode inference;
  const Engine engine = random ? randomEngine(options) : loadEngine(path, options, {});
  std::vector<std::int64_t> ids(static_cast<std::size_t>(tokens));
  for (std::size_t i = 0; i < ids.size(); ++i) {
    ids[i] = static_cast<std::int64_t>((i * i * 31 + 7 * i + 3) % static_cast<std::size_t>(engine.decoder().vocab));
  }
  const at::Tensor idTensor = at::from_blob(ids.data(), {tokens}, at::kLong).to(engine.placement.head.device);
  enterEngine(engine, tokens);

  const auto run = [&](bool capture, bool loss, FloatType type = FloatType::F32) {
    return [&, capture, loss, type] {
      RunOptions runOptions;
      runOptions.capture = capture;
      runOptions.loss = loss;
      runOptions.captureType = type;
      runOptions.block = argc > 6 ? std::atoll(argv[6]) : 0;
      prefill(engine, ids, runOptions, {});
    };
  };
  bench::Table table(concat("prefill of ", engine.decoder().name, ", ", tokens, " tokens, ",
                            arithmeticName(engine.type()), ", ", engine.placement.device(), ", ", at::get_num_threads(),
                            " threads"));
  std::vector<const char*> names{"prefill, no capture, no head", "prefill, capture, no head",
                                 "prefill, bf16 capture, no head"};
  const bool oneDevice = std::all_of(engine.placement.layers.begin(), engine.placement.layers.end(),
                                     [&](const Place& place) { return place == engine.placement.head; });
  if (oneDevice) {  // all that the plain loop knows
    names.insert(names.begin(), "plain loop, last logits");
    table.add(names.front(), [&] { plainLoop(engine, idTensor, false).sum().item<float>(); });
  }
  table.add("prefill, no capture, no head", run(false, false), oneDevice ? "plain loop, last logits" : "");
  table.add("prefill, capture, no head", run(true, false), "prefill, no capture, no head");
  table.add("prefill, bf16 capture, no head", run(true, false, FloatType::BF16), "prefill, no capture, no head");
  if (oneDevice && tokens * engine.decoder().vocab < std::int64_t{1} << 32) {  // all logits at once
    table.add("plain loop, all logits", [&] { plainLoop(engine, idTensor, true).sum().item<float>(); });
    table.add("prefill, capture and loss", run(true, true), "plain loop, all logits");
  }
  table.measure(rounds);
  table.print();
  if (argc > 7) {
    afterwards(engine, ids, table.median("prefill, no capture, no head"));
  }
  for (const char* name : names) {
    std::printf("%s: %.1f tokens/s\n", name, static_cast<double>(tokens) / table.median(name));
  }
  return 0;
}
