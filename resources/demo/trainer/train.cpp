// Trains Headscope's demo model from scratch, on the core's own forward pass, within a time budget.
//
//   headscope-train-demo --stories DIR --out DIR [--minutes 10] [--device cuda] [--seed 1]
//
// DIR holds *.txt files of simple stories (see README.md, "The demo model"). The output is a Hugging Face folder.

#include <ATen/Context.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/from_blob.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <map>
#include <string>
#include <thread>

#include "core/base/error.h"
#include "core/files/atomic_file.h"
#include "core/model/detail/forward.h"
#include "core/model/detail/weights.h"
#include "core/model/model.h"
#include "core/tokenizer/tokenizer.h"
#include "resources/demo/trainer/bpe_trainer.h"
#include "resources/demo/trainer/corpus.h"
#include "resources/demo/trainer/grammar.h"
#include "resources/demo/trainer/model_files.h"
#include "resources/demo/trainer/optimizer.h"

namespace headscope::demo {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

struct Options {
  fs::path stories, out;
  double minutes = 10;
  std::string device = "cpu";
  std::uint64_t seed = 1;
  std::int64_t tokensPerStep = 65536;
  double peakRate = 4e-3;
  std::size_t grammarBytes = std::size_t{24} << 20;
};

double since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::string readStories(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() == ".txt") {
      files.push_back(entry.path());
    }
  }
  if (files.empty()) {
    throw Error(folder.string(), "holds no .txt file");
  }
  std::sort(files.begin(), files.end());
  std::string text;
  for (const fs::path& file : files) {
    text += readFile(file) + "\n\n";
  }
  return text;
}

std::string writeGrammar(std::size_t bytes, std::uint64_t seed) {
  Grammar grammar(seed);
  std::string text;
  while (text.size() < bytes) {
    text += grammar.passage() + "\n\n";
  }
  return text;
}

struct Data {
  std::vector<std::uint16_t> stories, heldOutStories, grammar, heldOutGrammar;
};

Data prepare(const Options& options, const Shape& shape) {
  const std::string stories = readStories(options.stories);
  const std::string grammar = writeGrammar(options.grammarBytes, options.seed);
  constexpr std::size_t kVocabularySample = std::size_t{24} << 20;
  writeTokenizer(trainBpe({std::string_view(stories).substr(0, kVocabularySample),
                           std::string_view(grammar).substr(0, kVocabularySample / 6)},
                          static_cast<std::size_t>(shape.vocabulary)),
                 options.out / "tokenizer.json");
  const auto tokenizer = Tokenizer::open(options.out);
  const unsigned threads = std::thread::hardware_concurrency();
  Data data;
  data.stories = tokenize(*tokenizer, stories, threads);
  data.grammar = tokenize(*tokenizer, grammar, threads);
  const auto split = static_cast<std::ptrdiff_t>(data.stories.size() / 100 * 99);
  data.heldOutStories.assign(data.stories.begin() + split, data.stories.end());
  data.stories.resize(static_cast<std::size_t>(split));
  data.heldOutGrammar = tokenize(*tokenizer, writeGrammar(std::size_t{1} << 20, options.seed + 1), threads);
  std::printf("%zu story tokens, %zu grammar tokens\n", data.stories.size(), data.grammar.size());
  return data;
}

class Trainer {
 public:
  Trainer(const Options& options, const Shape& shape, Data data)
      : options_(options),
        shape_(shape),
        device_(options.device),
        decoder_(decoderFromJson(readFile(options.out / "config.json"))),
        data_(std::move(data)),
        weights_(randomWeights(decoder_, options.seed, device_)),
        sampler_(data_.stories, data_.grammar, shape.vocabulary, {}, options.seed) {
    for (auto& [name, weight] : weights_) {
      weight.requires_grad_(true);
    }
  }

  TrainingReport run();
  void save() const {
    const at::NoGradGuard guard;
    writeWeights(weights_, options_.out);
  }

 private:
  at::Tensor loss(const std::vector<std::int64_t>& ids, std::int64_t rows) {
    const std::int64_t length = static_cast<std::int64_t>(ids.size()) / rows;
    const at::Tensor all = at::from_blob(const_cast<std::int64_t*>(ids.data()), {rows, length}, at::kLong).to(device_);
    const at::Tensor logits = forwardLogits(decoder_, arithmeticWeights(), all.narrow(1, 0, length - 1));
    return at::cross_entropy_loss(logits.reshape({-1, shape_.vocabulary}), all.narrow(1, 1, length - 1).reshape({-1}));
  }
  // The masters stay in float32; a GPU computes with their bf16 copies, through which the gradients flow back.
  Weights arithmeticWeights() const {
    if (device_.is_cpu()) {
      return namedWeights(decoder_, weights_);
    }
    std::map<std::string, at::Tensor> rounded;
    for (const auto& [name, weight] : weights_) {
      rounded[name] = weight.to(at::kBFloat16);
    }
    return namedWeights(decoder_, rounded);
  }
  double heldOutLoss(const std::vector<std::uint16_t>& text);
  std::vector<at::Tensor> parameters() const {
    std::vector<at::Tensor> list;
    for (const auto& [name, weight] : weights_) {
      list.push_back(weight);
    }
    return list;
  }

  const Options& options_;
  Shape shape_;
  at::Device device_;
  plan::Decoder decoder_;
  Data data_;
  std::map<std::string, at::Tensor> weights_;
  Sampler sampler_;
};

double Trainer::heldOutLoss(const std::vector<std::uint16_t>& text) {
  const at::NoGradGuard guard;
  Sampler sampler(text, text, shape_.vocabulary, {.grammar = 0, .repeats = 0}, 7);
  double sum = 0;
  constexpr int kBatches = 8;
  for (int i = 0; i < kBatches; ++i) {
    sum += loss(sampler.batch(32, 512), 32).item<double>();
  }
  return sum / kBatches;
}

TrainingReport Trainer::run() {
  AdamW optimizer(parameters());
  const Schedule schedule{.peak = options_.peakRate};
  const Clock::time_point start = Clock::now();
  const double budget = options_.minutes * 60;
  TrainingReport report;
  double lastSave = 0;
  for (int step = 0; since(start) < budget; ++step) {
    const double used = since(start) / budget;
    // Short texts first; the last third also sees the full context, so that long prompts look right.
    const std::int64_t length = used > 0.66 && step % 2 == 0 ? shape_.context : 512;
    const std::int64_t rows = std::max<std::int64_t>(1, options_.tokensPerStep / length);
    const at::Tensor current = loss(sampler_.batch(rows, length), rows);
    current.backward();
    const double rate = schedule.rate(step, used);
    {
      const at::NoGradGuard guard;
      optimizer.step(rate);
    }
    report.tokens += rows * length;
    report.steps = step + 1;
    if (step % 50 == 0) {
      report.seconds = since(start);
      std::printf("step %d  %.0f s  %.1f M tokens  loss %.4f  rate %.5f\n", step, report.seconds,
                  static_cast<double>(report.tokens) / 1e6, current.item<double>(), rate);
      std::fflush(stdout);
      if (report.seconds - lastSave > 120) {
        save();
        lastSave = report.seconds;
      }
    }
  }
  report.seconds = since(start);
  report.storyLoss = heldOutLoss(data_.heldOutStories);
  report.grammarLoss = heldOutLoss(data_.heldOutGrammar);
  return report;
}

std::string deviceDescription(const std::string& name) {
  std::string description = name;
  for (const DeviceInfo& device : listDevices()) {
    if (device.name == name || device.name == name + ":0") {
      description = device.description;
    }
  }
  return description;
}

std::string sample(const fs::path& folder) {
  const auto model = Model::open(folder);
  const auto tokenizer = Tokenizer::open(folder);
  const Encoding prompt = tokenizer->encode("Once upon a time", Bos::On);
  GenerateOptions options;
  options.count = 120;
  return "Once upon a time" + tokenizer->decode(model->generate(prompt.ids, options), true);
}

int train(const Options& options) {
  listDevices();  // loads the CUDA half of LibTorch before its first use
  at::globalContext().setAllowTF32CuBLAS(true);
  fs::create_directories(options.out);
  const Shape shape;
  writeConfig(shape, options.out);
  Trainer trainer(options, shape, prepare(options, shape));
  TrainingReport report = trainer.run();
  trainer.save();
  report.device = deviceDescription(options.device);
  const std::string text = sample(options.out);
  writeCard(shape, report, text, options.out);
  std::printf("stories %.4f, grammar %.4f nats a token after %.1f M tokens in %.0f s\n%s\n", report.storyLoss,
              report.grammarLoss, static_cast<double>(report.tokens) / 1e6, report.seconds, text.c_str());
  return 0;
}

}  // namespace
}  // namespace headscope::demo

int main(int argc, char** argv) {
  headscope::demo::Options options;
  CLI::App app("Trains Headscope's demo model from scratch.");
  app.add_option("--stories", options.stories, "Folder of .txt files")->required();
  app.add_option("--out", options.out, "Folder of the model")->required();
  app.add_option("--minutes", options.minutes, "Time for the training itself");
  app.add_option("--device", options.device, "cpu or cuda");
  app.add_option("--seed", options.seed);
  app.add_option("--tokens-per-step", options.tokensPerStep);
  app.add_option("--rate", options.peakRate, "Peak learning rate");
  CLI11_PARSE(app, argc, argv);
  try {
    return headscope::demo::train(options);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "headscope-train-demo: %s\n", error.what());
    return 1;
  }
}
