// The real trained model stories260K: goldens, greedy text, loss, cancelling, and what a run leaves behind.

#include <cmath>
#include <filesystem>

#include <QtTest>

#include "core/base/error.h"
#include "core/files/json.h"
#include "core/model/golden.h"
#include "core/model/model.h"
#include "tests/support/test_machine.h"

namespace fs = std::filesystem;
using namespace headscope;

namespace {

const fs::path kFolder = fs::path(HEADSCOPE_SHARED) / "models/stories260K";

std::vector<std::int64_t> someIds(std::int64_t count) {
  std::vector<std::int64_t> ids{1};
  for (std::int64_t i = 1; i < count; ++i) {
    ids.push_back(3 + (i * i * 31 + i * 7) % 500);
  }
  return ids;
}

}  // namespace

class ModelStories : public QObject {
  Q_OBJECT

 private slots:
  void init();
  void matchesGolden();
  void greedyText();
  void cachedDecodingEqualsPrefill();
  void sampledTextFollowsItsSeed();
  void lossIsMeanCrossEntropy();
  void stopIdsEndGeneration();
  void layersAppearOneByOne();
  void cancelStops();
  void refusesIdsOutsideTheVocabulary();
  void captureTypesRoundOnly();
  void sameThreadsSameBytes();

 private:
  std::shared_ptr<Model> open() const {
    ModelOptions options = test::testMachine();
    options.threads = 2;
    return Model::open(kFolder, options);
  }
};

void ModelStories::init() {
  if (!fs::exists(kFolder)) {
    QSKIP("../shared/models/stories260K is not here");
  }
}

void ModelStories::matchesGolden() {
  const auto model = open();
  const GoldenReport report = checkGolden(*model, kFolder / "golden.safetensors", test::goldenSlack());
  for (const GoldenCheck& check : report.checks) {
    QVERIFY2(check.passed(), concat(check.quantity, " of ", check.worst, ": ", check.error).c_str());
  }
  QVERIFY(report.find("v") != nullptr && report.find("hidden states") != nullptr);
}

void ModelStories::greedyText() {
  const Json golden = readJson(kFolder / "golden_text.json");
  const auto expected = golden.at("ids").get<std::vector<std::int64_t>>();
  const auto prompt = golden.at("prompt_ids").get<std::vector<std::int64_t>>();
  const auto model = open();
  GenerateOptions options;
  options.count = static_cast<std::int64_t>(expected.size() - prompt.size());
  std::vector<std::int64_t> ids = prompt;
  const std::vector<std::int64_t> made = model->generate(prompt, options);
  ids.insert(ids.end(), made.begin(), made.end());
  QCOMPARE(ids, expected);
}

void ModelStories::cachedDecodingEqualsPrefill() {
  const auto model = open();
  std::vector<std::int64_t> ids = someIds(40);
  GenerateOptions options;
  options.count = 8;
  for (const std::int64_t id : model->generate(ids, options)) {
    RunOptions run;
    run.capture = false;
    run.logits = true;
    const RunResult result = model->run(ids, run);
    const float* last = result.logits.data() + result.logits.size() - model->info().vocab;
    QCOMPARE(std::max_element(last, last + model->info().vocab) - last, id);
    ids.push_back(id);
  }
}

void ModelStories::sampledTextFollowsItsSeed() {
  const auto model = open();
  GenerateOptions options;
  options.count = 30;
  options.temperature = 1;
  options.seed = 7;
  const std::vector<std::int64_t> prompt{1};
  const auto first = model->generate(prompt, options);
  QCOMPARE(model->generate(prompt, options), first);
  options.seed = 8;
  QVERIFY(model->generate(prompt, options) != first);
}

void ModelStories::lossIsMeanCrossEntropy() {
  const auto model = open();
  const std::vector<std::int64_t> ids = someIds(50);
  RunOptions options;
  options.capture = false;
  options.logits = true;
  options.block = 7;
  const RunResult result = model->run(ids, options);
  const auto vocab = static_cast<std::size_t>(model->info().vocab);
  double sum = 0;
  for (std::size_t t = 0; t + 1 < ids.size(); ++t) {
    double total = 0;
    for (std::size_t id = 0; id < vocab; ++id) {
      total += std::exp(static_cast<double>(result.logits[t * vocab + id]));
    }
    sum += std::log(total) - result.logits[t * vocab + static_cast<std::size_t>(ids[t + 1])];
  }
  const double expected = sum / static_cast<double>(ids.size() - 1);
  QVERIFY2(std::abs(result.loss - expected) < 1e-5, concat(result.loss, " ", expected).c_str());
  options.logits = options.loss = false;
  QVERIFY(std::isnan(model->run(ids, options).loss));
}

void ModelStories::stopIdsEndGeneration() {
  const auto model = open();
  GenerateOptions options;
  options.count = 20;
  const std::vector<std::int64_t> prompt{1};
  const auto made = model->generate(prompt, options);
  options.stopIds = {made[4]};
  std::vector<std::int64_t> seen;
  options.token = [&](std::int64_t id) { seen.push_back(id); };
  const auto shorter = model->generate(prompt, options);
  const auto stop = std::find(made.begin(), made.end(), made[4]);
  QCOMPARE(shorter, std::vector<std::int64_t>(made.begin(), stop + 1));
  QCOMPARE(seen, shorter);
}

void ModelStories::layersAppearOneByOne() {
  const auto model = open();
  std::shared_ptr<const Capture> capture;
  std::vector<int> ready;
  RunOptions options;
  options.started = [&](std::shared_ptr<const Capture> started) {
    capture = std::move(started);
    ready.push_back(capture->readyLayers());
  };
  options.layerDone = [&](int) { ready.push_back(capture->readyLayers()); };
  const RunResult result = model->run(someIds(20), options);
  QCOMPARE(ready, (std::vector<int>{0, 1, 2, 3, 4, 5}));
  QCOMPARE(result.capture.get(), capture.get());
  QCOMPARE(result.capture->header().ids, someIds(20));
}

void ModelStories::cancelStops() {
  const auto model = open();
  std::stop_source source;
  JobControl control;
  control.stop = source.get_token();
  RunOptions options;
  options.layerDone = [&](int layer) {
    if (layer == 1) {
      source.request_stop();
    }
  };
  QVERIFY_EXCEPTION_THROWN(model->run(someIds(20), options, control), Cancelled);
  QVERIFY(model->run(someIds(20), RunOptions{}).capture != nullptr);
}

void ModelStories::refusesIdsOutsideTheVocabulary() {
  const auto model = open();
  for (const std::vector<std::int64_t>& ids : {std::vector<std::int64_t>{}, {1, 512}, {-1}}) {
    QVERIFY_EXCEPTION_THROWN(model->run(ids, RunOptions{}), Error);
    QVERIFY_EXCEPTION_THROWN(model->generate(ids, GenerateOptions{1, 0, 0, {}, {}}), Error);
  }
}

void ModelStories::captureTypesRoundOnly() {
  const auto model = open();
  const std::vector<std::int64_t> ids = someIds(30);
  const RunResult exact = model->run(ids, RunOptions{});
  for (const FloatType type : {FloatType::BF16, FloatType::F16}) {
    RunOptions options;
    options.captureType = type;
    const RunResult rounded = model->run(ids, options);
    const double step = type == FloatType::BF16 ? 1.0 / 256 : 1.0 / 2048;
    const CaptureLayer &a = exact.capture->layer(3), &b = rounded.capture->layer(3);
    std::vector<float> x(static_cast<std::size_t>(30 * a.dim)), y(x.size());
    a.q[5].read(0, 30, x.data());
    b.q[5].read(0, 30, y.data());
    for (std::size_t i = 0; i < x.size(); ++i) {
      QVERIFY(std::abs(x[i] - y[i]) <= step * std::abs(x[i]) + 1e-6);
    }
  }
}

void ModelStories::sameThreadsSameBytes() {
  const std::vector<std::int64_t> ids = someIds(100);
  const RunResult a = open()->run(ids, RunOptions{}), b = open()->run(ids, RunOptions{});
  for (int layer = 0; layer < 5; ++layer) {
    const auto first = a.capture->layer(layer).lse, second = b.capture->layer(layer).lse;
    QVERIFY(std::equal(first.begin(), first.end(), second.begin(), second.end()));
  }
  QCOMPARE(a.loss, b.loss);
}

QTEST_GUILESS_MAIN(ModelStories)
#include "tst_model_stories.moc"
