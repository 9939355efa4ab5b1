// Block influence and q-similarity of SmolLM2-135M-Instruct (Q4_1 GGUF) against ../shared/tappa/bi: 30 segments of six
// texts, each a run of its own, as the public code does it. The model is looked for in $HEADSCOPE_SMOLLM2 and where the
// fetching script puts it.

#include <QtTest>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <map>

#include "core/analysis/block_influence.h"
#include "core/analysis/q_similarity.h"
#include "core/files/json.h"
#include "core/model/model.h"

namespace fs = std::filesystem;
using namespace headscope;

namespace {

const fs::path kGolden = fs::path(HEADSCOPE_SHARED) / "tappa/bi";
constexpr double kTolerance = 2e-5;  // ../shared/tappa/README.md, "bi/": float32 from the same file

fs::path modelFile() {
  const char* named = std::getenv("HEADSCOPE_SMOLLM2");
  const char* home = std::getenv("HOME");
  return named != nullptr ? fs::path(named)
                          : fs::path(home != nullptr ? home : "/") / ".cache/headscope/SmolLM2-135M-Instruct.Q4_1.gguf";
}

using Values = std::vector<double>;

double largestDifference(const Values& a, const Values& b) {
  double worst = a.size() == b.size() ? 0 : INFINITY;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    worst = std::isnan(a[i]) ? INFINITY : std::max(worst, std::abs(a[i] - b[i]));
  }
  return worst;
}

struct Segment {
  Values residual, published, residualAngular, qSimilarity;
};

Segment runSegment(Model& model, const std::vector<std::int64_t>& ids) {
  BlockInfluence influence(model.info().layers);
  RunOptions options;
  options.loss = false;
  options.hidden = [&](int layer, std::int64_t first, std::span<const float> rows) {
    influence.observe(layer, first, rows, static_cast<int>(model.info().hidden));
  };
  const auto capture = model.run(ids, options).capture;
  Segment segment{influence.residual(), influence.published(), influence.residualAngular(), {}};
  for (int layer = 0; layer < model.info().layers; ++layer) {
    double sum = 0;
    for (const FloatRows& rows : capture->layer(layer).q) {
      std::vector<float> floats(static_cast<std::size_t>(rows.rows * rows.dim));
      rows.read(0, rows.rows, floats.data());
      const Values values(floats.begin(), floats.end());
      sum += meanPairwise({values.data(), rows.rows, rows.dim}, Measure::Cosine);
    }
    segment.qSimilarity.push_back(sum / capture->layer(layer).heads);
  }
  return segment;
}

void addTo(Values& sums, const Values& values) {
  sums.resize(values.size(), 0.0);
  for (std::size_t i = 0; i < values.size(); ++i) {
    sums[i] += values[i];
  }
}

}  // namespace

class TestBlockInfluence : public QObject {
  Q_OBJECT

 private slots:
  void matchesTheGoldens();
};

void TestBlockInfluence::matchesTheGoldens() {
  if (!fs::exists(kGolden) || !fs::exists(modelFile())) {
    QSKIP("the model file or ../shared/tappa/bi is not here");
  }
  ModelOptions machine;
  machine.device = "cpu";
  const auto model = Model::open(modelFile(), machine);
  const Json own = readJson(kGolden / "smollm2/own_numpy.json");
  std::map<std::string, std::vector<std::int64_t>> texts;
  const Json tokenIds = readJson(kGolden / "texts/token_ids.json");
  for (const Json& text : tokenIds["texts"]) {
    texts[text["name"]] = text["ids"].get<std::vector<std::int64_t>>();
  }
  double residual = 0, angular = 0, similarity = 0;
  Values publishedSum, similaritySum;
  for (const Json& golden : own["segments"]) {
    const std::vector<std::int64_t>& all = texts.at(golden["text"]);
    const std::int64_t start = golden["start"], count = golden["tokens"];
    const Segment segment = runSegment(*model, {all.begin() + start, all.begin() + start + count});
    residual = std::max(residual, largestDifference(segment.residual, golden["bi_residual"].get<Values>()));
    addTo(publishedSum, segment.published);
    addTo(similaritySum, segment.qSimilarity);
    if (golden.contains("bi_residual_angular")) {
      angular =
          std::max(angular, largestDifference(segment.residualAngular, golden["bi_residual_angular"].get<Values>()));
    }
  }
  const auto segments = static_cast<double>(own["segments"].size());
  for (Values* sum : {&publishedSum, &similaritySum}) {
    for (double& value : *sum) {
      value /= segments;
    }
  }
  const double published =
      largestDifference(publishedSum, readJson(kGolden / "smollm2/official_bi.json")["scores"].get<Values>());
  similarity = largestDifference(similaritySum,
                                 readJson(kGolden / "smollm2/official_q_similarity.json")["scores"].get<Values>());
  qInfo(
      "largest differences over %d segments: BI (residual) %.2g, angular %.2g, BI (published) %.2g, q-similarity %.2g",
      static_cast<int>(segments), residual, angular, published, similarity);
  QVERIFY(residual < kTolerance);
  QVERIFY(published < kTolerance);
  QVERIFY(similarity < kTolerance);
  QVERIFY(angular < 1e-3);  // acos near 1 loses half the digits of a float
}

QTEST_GUILESS_MAIN(TestBlockInfluence)
#include "tst_block_influence.moc"
