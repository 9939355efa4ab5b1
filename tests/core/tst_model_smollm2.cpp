// SmolLM2-135M-Instruct from a Q4_1 GGUF against llama.cpp and Hugging Face (../shared/models/smollm2-gguf). The file
// itself is looked for in $HEADSCOPE_SMOLLM2 and where the fetching script puts it.

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <map>

#include <QtTest>

#include "core/base/error.h"
#include "core/files/json.h"
#include "core/files/safetensors.h"
#include "core/model/model.h"
#include "core/rope/rope.h"
#include "tests/support/test_machine.h"

namespace fs = std::filesystem;
using namespace headscope;

namespace {

const fs::path kGolden = fs::path(HEADSCOPE_SHARED) / "models/smollm2-gguf";

fs::path modelFile() {
  const char* named = std::getenv("HEADSCOPE_SMOLLM2");
  const char* home = std::getenv("HOME");
  if (named != nullptr) {
    return named;
  }
  return fs::path(home != nullptr ? home : "/") / ".cache/headscope/SmolLM2-135M-Instruct.Q4_1.gguf";
}

std::vector<float> floatsOf(const SafetensorsFile& file, const std::string& name) {
  const TensorView& view = file.at(name);
  std::vector<float> values(static_cast<std::size_t>(view.elements()));
  toFloats(view.bytes.data(), floatType(view.type).value(), values.size(), values.data());
  return values;
}

std::vector<std::int64_t> integersOf(const SafetensorsFile& file, const std::string& name) {
  const TensorView& view = file.at(name);
  std::vector<std::int64_t> values(static_cast<std::size_t>(view.elements()));
  if (view.type == TensorType::I32) {
    std::vector<std::int32_t> narrow(values.size());
    std::memcpy(narrow.data(), view.bytes.data(), view.bytes.size());
    std::copy(narrow.begin(), narrow.end(), values.begin());
  } else {
    std::memcpy(values.data(), view.bytes.data(), view.bytes.size());
  }
  return values;
}

}  // namespace

class ModelSmolLm2 : public QObject {
  Q_OBJECT

 private slots:
  void initTestCase();
  void logitsAndQueries();
  void perplexity();
  void greedy();

 private:
  std::shared_ptr<Model> model_;
};

void ModelSmolLm2::initTestCase() {
  if (!fs::exists(kGolden) || !fs::exists(modelFile())) {
    QSKIP("the model file or ../shared/models/smollm2-gguf is not here");
  }
  ModelOptions options = test::testMachine();
  model_ = Model::open(modelFile(), options);
}

void ModelSmolLm2::logitsAndQueries() {
  const auto golden = SafetensorsFile::open(kGolden / "golden.safetensors");
  const std::vector<std::int64_t> ids = integersOf(*golden, "ids");
  const auto tokens = static_cast<std::int64_t>(ids.size());
  RunOptions options;
  options.logits = true;
  std::map<int, std::vector<float>> streams;
  options.hidden = [&](int layer, std::int64_t, std::span<const float> rows) {
    streams[layer].insert(streams[layer].end(), rows.begin(), rows.end());
  };
  const RunResult result = model_->run(ids, options);

  const auto vocab = static_cast<std::size_t>(model_->info().vocab);
  const std::vector<std::int64_t> top = integersOf(*golden, "hf.top_ids");
  const std::vector<float> topLogits = floatsOf(*golden, "hf.top_logits");
  const std::size_t kept = top.size() / ids.size();
  for (std::size_t i = 0; i < top.size(); ++i) {
    const float own = result.logits[i / kept * vocab + static_cast<std::size_t>(top[i])];
    QVERIFY2(std::abs(own - topLogits[i]) < 1e-3F, concat(own, " ", topLogits[i]).c_str());
  }
  const std::vector<float> last = floatsOf(*golden, "hf.last_logits");
  float worst = 0;
  for (std::size_t id = 0; id < vocab; ++id) {
    worst = std::max(worst, std::abs(last[id] - result.logits[(ids.size() - 1) * vocab + id]));
  }
  qInfo("largest logit difference of the last token: %g", static_cast<double>(worst));
  QVERIFY(worst < 1e-3F);

  for (const int layer : {0, 9, 29}) {
    const CaptureLayer& data = result.capture->layer(layer);
    for (const auto& [name, heads, rotated] : {std::tuple{"q_pre.", &data.q, false},
                                               {"k_pre.", &data.k, false},
                                               {"q_post.", &data.q, true},
                                               {"k_post.", &data.k, true}}) {
      const std::vector<float> expected = floatsOf(*golden, concat(name, layer));
      std::vector<std::int64_t> positions(ids.size());
      for (std::size_t t = 0; t < ids.size(); ++t) {
        positions[t] = static_cast<std::int64_t>(t);
      }
      for (std::size_t head = 0; head < heads->size(); ++head) {
        std::vector<float> rows(static_cast<std::size_t>(tokens * data.dim));
        (*heads)[head].read(0, tokens, rows.data());
        if (rotated) {
          rotate(*result.capture->rope(layer), positions, data.dim, rows.data());
        }
        for (std::size_t i = 0; i < rows.size(); ++i) {
          const float reference = expected[head * rows.size() + i];
          QVERIFY2(std::abs(rows[i] - reference) <= 2e-4F * std::max(1.0F, std::abs(reference)),
                   concat(name, layer, " ", rows[i], " ", reference).c_str());
        }
      }
    }
    const std::vector<float> hidden = floatsOf(*golden, concat("hidden.", layer));
    float largest = 0, error = 0;
    for (std::size_t i = 0; i < hidden.size(); ++i) {
      largest = std::max(largest, std::abs(hidden[i]));
      error = std::max(error, std::abs(hidden[i] - streams[layer][i]));
    }
    QVERIFY2(error <= 2e-5F * std::max(1.0F, largest), concat("hidden.", layer, " ", error).c_str());
  }
}

void ModelSmolLm2::perplexity() {
  const Json json = readJson(kGolden / "text_ids.json");
  const auto ids = (json.is_array() ? json : json.at("ids")).get<std::vector<std::int64_t>>();
  RunOptions options;
  options.capture = false;
  const RunResult result = model_->run(ids, options);
  qInfo("nll %.7f, %.0f tokens/s", result.loss, static_cast<double>(ids.size()) / result.seconds);
  QVERIFY2(std::abs(result.loss - 2.7260768) < 1e-5, concat(result.loss).c_str());
}

void ModelSmolLm2::greedy() {
  for (const Json& entry : readJson(kGolden / "greedy.json")) {
    const auto prompt = entry.at("prompt_ids").get<std::vector<std::int64_t>>();
    const auto expected = entry.at("hf").at("ids").get<std::vector<std::int64_t>>();
    GenerateOptions options;
    options.count = static_cast<std::int64_t>(expected.size());
    QCOMPARE(model_->generate(prompt, options), expected);
  }
}

QTEST_GUILESS_MAIN(ModelSmolLm2)
#include "tst_model_smollm2.moc"
