// verifyModel() on every golden model, and the paths of the attention against each other and against a dense softmax
// in double on texts of many blocks.

#include <algorithm>
#include <cmath>
#include <filesystem>

#include <QtTest>

#include "core/base/error.h"
#include "core/files/json.h"
#include "core/model/model.h"
#include "core/model/verify.h"
#include "core/rope/rope.h"
#include "tests/support/test_machine.h"

namespace fs = std::filesystem;
using namespace headscope;

namespace {

const fs::path kShared = fs::path(HEADSCOPE_SHARED) / "models/families";
const fs::path kCommitted = fs::path(HEADSCOPE_SOURCE) / "tests/golden/families";

fs::path root() {
  return fs::exists(kShared / "manifest.json") ? kShared : kCommitted;
}

std::shared_ptr<Model> openOnCpu(const fs::path& path) {
  ModelOptions options = test::testMachine();
  return Model::open(path, options);
}

std::vector<std::int64_t> someIds(std::int64_t count, std::int64_t vocab) {
  std::vector<std::int64_t> ids;
  for (std::int64_t i = 0; i < count; ++i) {
    ids.push_back((i * i * 13 + 5 * i + 2) % vocab);
  }
  return ids;
}

// ln Σ exp(logit) over visible keys of one row, in double.
double denseLse(const Capture& capture, int layer, int head, std::int64_t t) {
  const CaptureLayer& data = capture.layer(layer);
  const AttentionSpec& spec = capture.attention(layer);
  const auto tokens = static_cast<std::size_t>(t + 1);
  std::vector<float> q(static_cast<std::size_t>(data.dim)), k(tokens * q.size());
  data.q[static_cast<std::size_t>(head)].read(t, 1, q.data());
  data.k[static_cast<std::size_t>(data.kvHead(head))].read(0, t + 1, k.data());
  std::vector<double> query(q.begin(), q.end()), keys(k.begin(), k.end());
  std::vector<std::int64_t> positions(tokens);
  for (std::size_t i = 0; i < tokens; ++i) {
    positions[i] = static_cast<std::int64_t>(i);
  }
  if (const Rope* rope = capture.rope(layer)) {
    rotateExactly(*rope, {&t, 1}, data.dim, query.data());
    rotateExactly(*rope, positions, data.dim, keys.data());
  }
  double sum = 0;
  for (std::int64_t i = spec.window ? std::max<std::int64_t>(0, t - *spec.window + 1) : 0; i <= t; ++i) {
    double logit = 0;
    for (int d = 0; d < data.dim; ++d) {
      logit += query[static_cast<std::size_t>(d)] * keys[static_cast<std::size_t>(i * data.dim + d)];
    }
    logit *= spec.scale;
    sum += std::exp(spec.softcap ? *spec.softcap * std::tanh(logit / *spec.softcap) : logit);
  }
  return std::log(sum);
}

}  // namespace

class ModelVerify : public QObject {
  Q_OBJECT

 private slots:
  void everyGoldenModel_data();
  void everyGoldenModel();
  void longTexts_data();
  void longTexts();
  void tableCoversFamilies();
};

void ModelVerify::everyGoldenModel_data() {
  QTest::addColumn<QString>("folder");
  const Json manifest = readJson(root() / "manifest.json");
  for (const Json& entry : manifest.at("cases")) {
    const std::string name = entry.at("case").get<std::string>();
    QTest::newRow(name.c_str()) << QString::fromStdString((root() / name).string());
  }
}

void ModelVerify::everyGoldenModel() {
  QFETCH(QString, folder);
  const auto model = openOnCpu(folder.toStdString());
  const VerifyReport report = verifyModel(*model);
  QCOMPARE(report.checks.size(), std::size_t{6});
  for (const VerifyCheck& check : report.checks) {
    QVERIFY2(check.passed(), concat(check.name, ": ", check.value).c_str());
  }
  QCOMPARE(report.status, std::string("verified"));
  QVERIFY(report.reference.find("transformers") != std::string::npos);
}

void ModelVerify::longTexts_data() {
  QTest::addColumn<QString>("name");
  QTest::newRow("plain, grouped") << "llama_plain__bf16";
  QTest::newRow("sinks and window") << "gpt_oss";
  QTest::newRow("softcap and window") << "gemma2__bf16";
  QTest::newRow("norm after RoPE") << "hunyuan_dense";
}

void ModelVerify::longTexts() {
  QFETCH(QString, name);
  const auto model = openOnCpu(root() / name.toStdString());
  const std::vector<std::int64_t> ids = someIds(701, model->info().vocab);
  RunOptions options;
  options.logits = true;
  const RunResult whole = model->run(ids, options);
  options.block = 97;
  const RunResult blocks = model->run(ids, options);
  options.fusedAttention = false;
  const RunResult plain = model->run(ids, options);
  float largest = 0;
  std::for_each(whole.logits.begin(), whole.logits.end(), [&](float x) { largest = std::max(largest, std::abs(x)); });
  for (const RunResult* other : {&blocks, &plain}) {
    for (std::size_t i = 0; i < whole.logits.size(); ++i) {
      QVERIFY(std::abs(whole.logits[i] - other->logits[i]) <= 1e-4F * largest);
    }
  }
  if (model->info().family == "hunyuan_v1_dense") {
    return;  // denseLse() has no norm after RoPE
  }
  for (int layer = 0; layer < model->info().layers; ++layer) {
    for (const RunResult* run : {&whole, &blocks, &plain}) {
      const CaptureLayer& data = run->capture->layer(layer);
      for (int head = 0; head < data.heads; ++head) {
        for (const std::int64_t t : {0, 1, 96, 97, 500, 700}) {
          const double own = data.lse[static_cast<std::size_t>(head * 701 + t)];
          const double dense = denseLse(*run->capture, layer, head, t);
          QVERIFY2(std::abs(own - dense) <= 1e-5 * std::max(1.0, std::abs(dense)),
                   concat("layer ", layer, " head ", head, " row ", t, ": ", own, ", dense ", dense).c_str());
        }
      }
    }
  }
}

void ModelVerify::tableCoversFamilies() {
  QVERIFY(familyVerifications().size() >= 40);
  for (const FamilyVerification& entry : familyVerifications()) {
    QVERIFY(entry.goldens > 0 && entry.largest() > 0 && entry.largest() < 1e-4);
  }
  QVERIFY(findVerification("llama") != nullptr && findVerification("mamba") == nullptr);
}

QTEST_GUILESS_MAIN(ModelVerify)
#include "tst_model_verify.moc"
