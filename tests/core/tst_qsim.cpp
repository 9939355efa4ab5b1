// q-similarity against numbers that the published code gives (../shared/tappa/qsim, and a small selection in
// tests/golden/tappa), and identities.

#include <QtTest>
#include <cmath>
#include <numbers>
#include <random>

#include "core/analysis/head_scores.h"
#include "core/analysis/q_similarity.h"
#include "core/files/json.h"
#include "tests/support/golden_tensors.h"

using namespace headscope;
using namespace headscope::test;

namespace {

struct Golden {
  Json meta, numbers;
  int heads = 0, kvHeads = 0, dim = 0;
  std::vector<HeadVectors> vectors;
  GoldenTensor before, after, last32;
};

Golden load(const QString& path) {
  Golden golden;
  const Json json = readJson(path.toStdString() + ".json");
  golden.meta = json["meta"];
  golden.numbers = json["numbers"];
  const auto file = SafetensorsFile::open(path.toStdString() + ".safetensors");
  const GoldenTensor q = goldenTensor(*file, "q"), k = goldenTensor(*file, "k");
  golden.before = goldenTensor(*file, "consecutive_before_rope");
  golden.after = goldenTensor(*file, "consecutive_after_rope");
  golden.last32 = goldenTensor(*file, "q_after_rope_last32");
  golden.heads = golden.meta["heads"];
  golden.kvHeads = golden.meta["kv_heads"];
  golden.dim = golden.meta["head_dim"];
  Rope rope;
  rope.rotaryDims = golden.dim;
  rope.base = golden.meta["rope_theta"];
  for (int m = 0; m < golden.dim / 2; ++m) {
    rope.invFreq.push_back(std::pow(rope.base, -2.0 * m / golden.dim));
  }
  for (int head = 0; head < golden.heads; ++head) {
    golden.vectors.push_back(makeHeadVectors(q.slice(head), k.slice(head / (golden.heads / golden.kvHeads)), golden.dim,
                                             AttentionSpec{}, rope));
  }
  return golden;
}

std::optional<Measure> measureOf(const std::string& name) {
  for (std::size_t m = 0; m < kMeasureCount; ++m) {
    if (measureName(static_cast<Measure>(m)) == name) {
      return static_cast<Measure>(m);
    }
  }
  return {};
}

std::vector<std::string> split(const std::string& key) {
  std::vector<std::string> parts;
  for (const QString& part : QString::fromStdString(key).split('.')) {
    parts.push_back(part.toStdString());
  }
  return parts;
}

std::vector<double> randomRows(std::int64_t rows, int dim, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<double> normal;
  std::vector<double> values(static_cast<std::size_t>(rows * dim));
  for (double& value : values) {
    value = normal(generator);
  }
  return values;
}

}  // namespace

class TestQSimilarity : public QObject {
  Q_OBJECT

 private:
  /// Ours for a key of the golden file; none where the key is not about a number that the program computes.
  /// With `givenRotation`, the last 32 queries after RoPE are those of the file, rotated in float32.
  static std::optional<double> ours(const Golden& golden, const std::string& key, bool givenRotation);
  static double meanOverHeads(const Golden& golden, const std::string& last, auto value);

 private slots:
  void golden_data();
  void golden();
  void pairwiseIsTheMeanOfAllPairs();
  void constantRowsAreAlike();
  void fewRowsHaveNoNumber();
  void lagsByFourierAreLagsByHand();
  void windowOfAllIsPairwise();
  void scaleDoesNotMatter();
};

double TestQSimilarity::meanOverHeads(const Golden& golden, const std::string& last, auto value) {
  if (last.starts_with("head")) {
    return value(golden.vectors.at(std::stoul(last.substr(4))));
  }
  double sum = 0;
  for (const HeadVectors& head : golden.vectors) {
    sum += value(head);
  }
  return sum / golden.heads;
}

std::optional<double> TestQSimilarity::ours(const Golden& golden, const std::string& key, bool givenRotation) {
  const std::vector<std::string> parts = split(key);
  const std::string& last = parts.back();
  if (parts[0] == "kv" && parts.size() == 4) {
    const double sigma = parts[1] == "rbf_sigma4" ? 4 : 1;
    const auto measure = sigma == 4 ? Measure::Rbf : measureOf(parts[1]);
    const std::int64_t window = std::stoll(parts[2].substr(1));
    return meanOverHeads(golden, last, [&](const HeadVectors& head) {
      const std::vector<double> given = golden.last32.slice(&head - golden.vectors.data());
      const bool covered = givenRotation && window <= golden.last32.shape[1];
      const RowsView rows = covered ? RowsView{given.data(), golden.last32.shape[1], golden.dim} : queriesInDot(head);
      return meanPairwise(rows.slice(rows.rows - window, window), *measure, sigma);
    });
  }
  if (parts[0] == "kv_window_before_rope") {
    return meanOverHeads(golden, last, [&](const HeadVectors& head) {
      const RowsView rows = queriesBeforeRope(head);
      return meanPairwise(rows.slice(rows.rows - 32, 32), *measureOf(parts[1]));
    });
  }
  if (key == "kv.preference_alpha_inf.w32") {
    return 1 - meanOverHeads(golden, "layer", [](const HeadVectors& head) { return kvSimilarity(head); });
  }
  if (parts[0] == "prune" && parts.size() == 5) {  // prune.cosine.segmentJ.startS.lenN
    return meanOverHeads(golden, "layer", [&](const HeadVectors& head) {
      const std::int64_t start = std::stoll(parts[3].substr(5)), length = std::stoll(parts[4].substr(3));
      return meanPairwise(queriesBeforeRope(head).slice(start, length), Measure::Cosine);
    });
  }
  if (parts[0] == "prune") {
    const std::string of = last == "skipping_segments_of_one" ? parts[parts.size() - 2] : last;
    return meanOverHeads(golden, of, [](const HeadVectors& head) { return pruneSimilarity(queriesBeforeRope(head)); });
  }
  if (parts[0] == "segment0_before_rope") {
    return meanOverHeads(golden, last, [&](const HeadVectors& head) {
      const RowsView rows = queriesBeforeRope(head);
      return meanPairwise(rows.slice(0, std::min<std::int64_t>(1024, rows.rows)), *measureOf(parts[1]));
    });
  }
  const bool after = key.find("after") != std::string::npos;
  const auto rows = [after](const HeadVectors& head) { return after ? queriesInDot(head) : queriesBeforeRope(head); };
  if (parts[0] == "consecutive") {
    return meanOverHeads(golden, last, [&](const HeadVectors& head) { return meanConsecutiveCosine(rows(head)); });
  }
  if (parts[0] == "pairwise_all") {
    return meanOverHeads(golden, last,
                         [&](const HeadVectors& head) { return meanPairwise(rows(head), Measure::Cosine); });
  }
  return {};
}

void TestQSimilarity::golden_data() {
  QTest::addColumn<QString>("path");
  for (const QString& folder :
       {QStringLiteral(HEADSCOPE_SOURCE "/tests/golden/tappa"), QStringLiteral(HEADSCOPE_SHARED "/tappa/qsim")}) {
    for (const QFileInfo& file : QDir(folder).entryInfoList({"*_T*_D*.json", "smollm2_*.json"})) {
      const QString path = folder + "/" + file.completeBaseName();
      QTest::newRow(qPrintable(path)) << path;
    }
  }
}

void TestQSimilarity::golden() {
  QFETCH(QString, path);
  const Golden golden = load(path);
  double worst = 0, worstRbf = 0, worstRotated = 0;
  int compared = 0;
  for (const auto& [key, number] : golden.numbers.items()) {
    const std::optional<double> value = ours(golden, key, true), own = ours(golden, key, false);
    QVERIFY2(value && own, key.c_str());
    const bool single = !number.contains("f64");  // the pruning script's own score exists in float32 only
    const Json& official = number.at(single ? "f32" : "f64");
    if (!official.is_number()) {  // "nan": a segment of one token spoils the published mean; ours skips it
      const bool segment = key.find(".segment") != std::string::npos;
      QVERIFY2(std::isnan(*value) == segment, key.c_str());
      continue;
    }
    const double expected = official;
    const bool rbf = key.find(".rbf.") != std::string::npos;
    const bool floats = key.find(".kl.") != std::string::npos;  // the published kl casts to float32
    const double error = std::abs(*value - expected), errorRotated = std::abs(*own - expected);
    const bool ownOnly = key.find(".w64.") != std::string::npos;  // the file's 32 rotated queries don't reach
    const double allowed = ownOnly            ? 1e-5 * std::abs(expected) + 1e-7
                           : rbf              ? 1e-9
                           : floats || single ? 2e-5 * std::abs(expected)
                                              : 1e-6 * std::abs(expected) + 1e-7;
    const auto text = QString("%1: %2, expected %3").arg(QString::fromStdString(key));
    QVERIFY2(error <= allowed, qPrintable(text.arg(*value, 0, 'g', 12).arg(expected, 0, 'g', 12)));
    // With our own rotation (angles in double, not float32).
    QVERIFY2(errorRotated <= std::max(allowed, 1e-5 * std::abs(expected)),
             qPrintable(text.arg(*own, 0, 'g', 12).arg(expected, 0, 'g', 12)));
    ++compared;
    (rbf ? worstRbf : worst) = std::max(rbf ? worstRbf : worst, error / (rbf ? 1 : std::max(std::abs(expected), 1e-3)));
    worstRotated = std::max(worstRotated, errorRotated / std::max(std::abs(expected), 1e-3));
  }
  QVERIFY(compared > 20);
  double curvesBefore = 0, curvesAfter = 0, rotated = 0;
  for (int h = 0; h < golden.heads; ++h) {
    const HeadVectors& head = golden.vectors[static_cast<std::size_t>(h)];
    const std::vector<double> before = consecutiveCosine(queriesBeforeRope(head)),
                              after = consecutiveCosine(queriesInDot(head));
    const std::vector<double> wantedBefore = golden.before.slice(h), wantedAfter = golden.after.slice(h);
    QCOMPARE(before.size(), wantedBefore.size());
    for (std::size_t t = 0; t < before.size(); ++t) {
      curvesBefore = std::max(curvesBefore, std::abs(before[t] - wantedBefore[t]));
      curvesAfter = std::max(curvesAfter, std::abs(after[t] - wantedAfter[t]));
    }
    const std::vector<double> last = golden.last32.slice(h);
    const RowsView rows = queriesInDot(head);
    const std::int64_t first = rows.rows * rows.dim - static_cast<std::int64_t>(last.size());
    for (std::size_t j = 0; j < last.size(); ++j) {
      rotated = std::max(rotated, std::abs(rows.data[first + static_cast<std::int64_t>(j)] - last[j]));
    }
  }
  qInfo(
      "%d numbers, largest relative error %.2g (own rotation %.2g), rbf %.2g absolute; curves before RoPE %.2g, after "
      "%.2g",
      compared, worst, worstRotated, worstRbf, curvesBefore, curvesAfter);
  QVERIFY(curvesBefore < 1e-12);
  QVERIFY(curvesAfter < 1e-5);
  QVERIFY(rotated < 2e-3);  // the golden queries were rotated in float32, with float32 angles up to 1,100 radians
}

void TestQSimilarity::pairwiseIsTheMeanOfAllPairs() {
  const int dim = 12;
  const std::vector<double> data = randomRows(37, dim, 5);
  const RowsView rows{data.data(), 37, dim};
  const auto dot = [&](std::int64_t s, std::int64_t t) {
    double sum = 0;
    for (int d = 0; d < dim; ++d) {
      sum += rows.row(s)[d] * rows.row(t)[d];
    }
    return sum;
  };
  const auto overPairs = [&](auto f) {
    double sum = 0;
    for (std::int64_t s = 0; s < rows.rows; ++s) {
      for (std::int64_t t = 0; t < rows.rows; ++t) {
        sum += s == t ? 0 : f(s, t);
      }
    }
    return sum / static_cast<double>(rows.rows * (rows.rows - 1));
  };
  const auto cosine = [&](std::int64_t s, std::int64_t t) { return dot(s, t) / std::sqrt(dot(s, s) * dot(t, t)); };
  const auto squared = [&](std::int64_t s, std::int64_t t) { return dot(s, s) + dot(t, t) - 2 * dot(s, t); };
  const auto near = [&](Measure measure, double expected) {
    return std::abs(meanPairwise(rows, measure) - expected) < 1e-12 * std::max(1.0, std::abs(expected));
  };
  QVERIFY(near(Measure::Cosine, overPairs(cosine)));
  QVERIFY(near(Measure::Dot, overPairs(dot)));
  QVERIFY(near(Measure::Euclidean, overPairs([&](auto s, auto t) { return std::sqrt(squared(s, t)); })));
  QVERIFY(near(Measure::Rbf, overPairs([&](auto s, auto t) { return std::exp(-squared(s, t) / 2); })));
  QVERIFY(
      near(Measure::Angular, overPairs([&](auto s, auto t) { return std::acos(cosine(s, t)) / std::numbers::pi; })));
}

void TestQSimilarity::constantRowsAreAlike() {
  std::vector<double> data;
  for (int t = 0; t < 20; ++t) {
    data.insert(data.end(), {0.5, -2.0, 3.0, 0.25});
  }
  const RowsView rows{data.data(), 20, 4};
  QVERIFY(std::abs(meanPairwise(rows, Measure::Cosine) - 1) < 1e-14);
  QVERIFY(std::abs(meanPairwise(rows, Measure::Rbf) - 1) < 1e-14);
  QVERIFY(std::abs(meanPairwise(rows, Measure::Pearson) - 0.25) < 1e-14);
  for (const Measure measure : {Measure::Euclidean, Measure::L1, Measure::Kl}) {
    QCOMPARE(meanPairwise(rows, measure), 0.0);
    QVERIFY(isDistance(measure));
  }
  QVERIFY(meanPairwise(rows, Measure::Angular) < 1e-7);
  QVERIFY(std::abs(pruneSimilarity(rows) - 1) < 1e-14);
}

void TestQSimilarity::fewRowsHaveNoNumber() {
  const std::vector<double> data{1, 2, 3};
  const RowsView one{data.data(), 1, 3};
  for (std::size_t m = 0; m < kMeasureCount; ++m) {
    QVERIFY(std::isnan(meanPairwise(one, static_cast<Measure>(m))));
  }
  QVERIFY(std::isnan(meanConsecutiveCosine(one)));
  QVERIFY(std::isnan(pruneSimilarity(one)));
  QVERIFY(consecutiveCosine(one).empty());
  // A last segment of one token is left out.
  const std::vector<double> long_ = randomRows(257, 4, 9);
  const std::vector<SegmentSimilarity> segments = pruneSegments({long_.data(), 257, 4});
  QCOMPARE(segments.size(), std::size_t{1});
  QCOMPARE(segments[0].tokens, std::int64_t{257});
  QCOMPARE(pruneSegments({long_.data(), 257, 4}, {1024, 100}).size(), std::size_t{3});
}

void TestQSimilarity::lagsByFourierAreLagsByHand() {
  const std::vector<double> data = randomRows(131, 5, 3);
  const RowsView rows{data.data(), 131, 5};
  const std::vector<double> byLag = cosineByLag(rows);
  QCOMPARE(byLag.size(), std::size_t{131});
  QVERIFY(std::abs(byLag[0] - 1) < 1e-14);
  for (std::int64_t lag = 1; lag < rows.rows; ++lag) {
    const std::vector<double> cosines = consecutiveCosine(rows, lag);
    double sum = 0;
    for (const double cosine : cosines) {
      sum += cosine;
    }
    QVERIFY(std::abs(byLag[static_cast<std::size_t>(lag)] - sum / static_cast<double>(cosines.size())) < 1e-13);
  }
}

void TestQSimilarity::windowOfAllIsPairwise() {
  const std::vector<double> data = randomRows(40, 6, 8);
  const RowsView rows{data.data(), 40, 6};
  const std::vector<double> all = windowedCosine(rows, 40), ten = windowedCosine(rows, 10);
  QVERIFY(std::isnan(all[0]));
  QVERIFY(std::abs(all[39] - meanPairwise(rows, Measure::Cosine)) < 1e-14);
  QVERIFY(std::abs(ten[25] - meanPairwise(rows.slice(16, 10), Measure::Cosine)) < 1e-14);
}

void TestQSimilarity::scaleDoesNotMatter() {
  std::vector<double> data = randomRows(30, 8, 21);
  const RowsView rows{data.data(), 30, 8};
  const double cosine = meanPairwise(rows, Measure::Cosine), pearson = meanPairwise(rows, Measure::Pearson);
  for (std::size_t i = 0; i < data.size(); ++i) {
    data[i] *= 1 + static_cast<double>(i / 8);
  }
  QVERIFY(std::abs(meanPairwise(rows, Measure::Cosine) - cosine) < 1e-14);
  QVERIFY(std::abs(meanPairwise(rows, Measure::Pearson) - pearson) < 1e-14);
}

QTEST_GUILESS_MAIN(TestQSimilarity)
#include "tst_qsim.moc"
