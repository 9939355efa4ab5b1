// Case classification: golden heads, the gallery, noisy constructed heads, thresholds; agreement of rows.

#include <QtTest>
#include <cmath>

#include "core/analysis/case_evidence.h"
#include "core/analysis/case_prediction.h"
#include "core/analysis/cases.h"
#include "core/analysis/constructed_heads.h"
#include "core/analysis/report.h"
#include "core/analysis/row_agreement.h"
#include "core/files/json.h"
#include "tests/support/golden_tensors.h"
#include "tests/support/synthetic_capture.h"

using namespace headscope;
using namespace headscope::test;

namespace {

/// The next plan with room for its case: some combinations of base and length have no fitting channel.
ConstructedHead nextHead(Case kind, double noise, unsigned seed) {
  for (unsigned attempt = 0;; ++attempt) {
    try {
      return constructHead(randomPlan(kind, noise, seed + 100000 * attempt));
    } catch (const Error&) {
      if (attempt == 20) {
        throw;
      }
    }
  }
}

}  // namespace

class TestCases : public QObject {
  Q_OBJECT

 private slots:
  void goldenHeads();
  void galleryIsClassifiedRight();
  void noisyHeads();
  void scoresAreFractionsAndLabelFollows();
  void thresholdsMoveTheLabel();
  void identicalRowsAgree();
  void shortTexts();
  void everyKindOfCapture_data();
  void everyKindOfCapture();
  void plansWithoutRoom();
};

void TestCases::goldenHeads() {
  const QString folder = QStringLiteral(HEADSCOPE_SOURCE "/tests/golden/tappa");
  const auto file = SafetensorsFile::open((folder + "/heads.safetensors").toStdString());
  for (const Json& meta : readJson((folder + "/heads.json").toStdString())) {
    const std::string name = meta["name"];
    Rope rope;
    rope.rotaryDims = meta["rotary_dim"];
    rope.invFreq = goldenTensor(*file, name + ".theta").values;
    AttentionSpec spec;
    spec.scale = meta["sigma"];
    const HeadVectors head = makeHeadVectors(goldenTensor(*file, name + ".q").values,
                                             goldenTensor(*file, name + ".k").values, meta["head_dim"], spec, rope);
    const RopeLens lens = ropeLens(head);
    const CaseResult result = classify(head, lens);
    QString label = QString::fromStdString(meta["expected"]["label"]);
    const std::string key = label.replace('-', '_').toStdString();
    QCOMPARE(std::string(caseKey(result.label)), key);
    QCOMPARE(std::string(caseKey(result.predictedLabel)), key);
    if (meta["expected"]["dominant_channel"].is_number()) {
      QCOMPARE(*lens.spectrum.dominant, meta["expected"]["dominant_channel"].get<int>());
    }
    if (meta["expected"]["period"].is_number()) {
      const double period = meta["expected"]["period"];
      QVERIFY(std::abs(lens.measuredPeriod->tokens - period) <= std::max(0.5, 0.03 * period));
    }
  }
}

void TestCases::galleryIsClassifiedRight() {
  for (const unsigned seed : {1u, 2u, 77u}) {
    const auto capture = galleryCapture(0.05, seed);
    const std::vector<ConstructedHead> heads = gallery(0.05, seed);
    const Report report = analyzeCapture(*capture);
    QCOMPARE(report.layers.size(), std::size_t{1});
    for (const HeadReport& head : report.layers[0].heads) {
      const ConstructedHead& built = heads[static_cast<std::size_t>(head.head)];
      QCOMPARE(static_cast<int>(head.cases.label), head.head);
      QVERIFY(head.cases.scores[static_cast<std::size_t>(head.head)] > 0.7);
      if (built.dominantChannel) {
        QCOMPARE(*head.dominantChannel, *built.dominantChannel);
      }
      if (built.period) {
        QVERIFY(std::abs(*head.period.measured - *built.period) <= std::max(0.5, 0.03 * *built.period));
        QVERIFY(head.period.strength > 0.8);
      }
      for (const BoundSummary& bound : head.bounds->summaries) {
        QCOMPARE(bound.violations, std::int64_t{0});
      }
    }
  }
}

void TestCases::noisyHeads() {
  std::array<std::array<int, kCaseCount>, kCaseCount> confusion{};
  int right = 0, periods = 0, withPeriod = 0;
  for (unsigned j = 0; j < 200; ++j) {
    const auto kind = static_cast<Case>(j % kCaseCount);
    const ConstructedHead built = nextHead(kind, 0.05 + 0.001 * j, 500 + j);
    const HeadVectors head = headVectors(built);
    const RopeLens lens = ropeLens(head);
    const CaseResult result = classify(head, lens);
    ++confusion[static_cast<std::size_t>(kind)][static_cast<std::size_t>(result.label)];
    right += result.label == kind ? 1 : 0;
    if (built.period) {
      ++withPeriod;
      periods += lens.measuredPeriod &&
                         std::abs(lens.measuredPeriod->tokens - *built.period) <= std::max(0.5, 0.03 * *built.period)
                     ? 1
                     : 0;
    }
  }
  qInfo("%d of 200 right, periods %d of %d", right, periods, withPeriod);
  QVERIFY(right >= 196);
  QCOMPARE(periods, withPeriod);
}

void TestCases::scoresAreFractionsAndLabelFollows() {
  for (unsigned j = 0; j < 20; ++j) {
    const ConstructedHead built = nextHead(static_cast<Case>(j % kCaseCount), 0.5, j);
    const HeadVectors head = headVectors(built);
    const CaseResult result = classify(head, ropeLens(head));
    for (const CaseScores& scores : {result.scores, result.predicted}) {
      for (const double score : scores) {
        QVERIFY(score >= 0 && score <= 1);
      }
      const double best = *std::max_element(scores.begin(), scores.end() - 1);
      QVERIFY(std::abs(scores[static_cast<std::size_t>(Case::Unpredictable)] - (1 - best)) < 1e-15);
    }
    QCOMPARE(static_cast<int>(result.label), static_cast<int>(caseFrom(result.scores, {})));
    QCOMPARE(caseScores(result.evidence, {}), result.scores);
  }
}

void TestCases::thresholdsMoveTheLabel() {
  const HeadVectors head = headVectors(gallery()[static_cast<std::size_t>(Case::PeriodicSequential)]);
  const CaseEvidence evidence = classify(head, ropeLens(head)).evidence;
  CaseThresholds strict;
  strict.periodStrength = 1.2;
  QCOMPARE(static_cast<int>(caseFrom(caseScores(evidence, strict), strict)), static_cast<int>(Case::Sequential));
  strict = {};
  strict.echo = 1.5;
  QCOMPARE(static_cast<int>(caseFrom(caseScores(evidence, strict), strict)), static_cast<int>(Case::Sequential));
  strict = {};
  strict.predictable = 1.0;
  QCOMPARE(static_cast<int>(caseFrom(caseScores(evidence, strict), strict)), static_cast<int>(Case::Unpredictable));
}

void TestCases::identicalRowsAgree() {
  const std::vector<double> peaked{0.05, 0.8, 0.05, 0.05, 0.05}, other{0.05, 0.05, 0.05, 0.05, 0.8};
  QCOMPARE(rowAgreement(peaked, peaked, 0), 1.0);
  QVERIFY(rowAgreement(peaked, other, 0) <= 0.2);
  QCOMPARE(rowAgreement(std::vector<double>(6, 1.0 / 6), std::vector<double>(6, 1.0 / 6), 0),
           0.0);  // nothing but chance
  QCOMPARE(rowAgreement(std::vector<double>{1.0}, std::vector<double>{1.0}, 0), 0.0);
  std::vector<double> repeated;
  for (int j = 0; j < 40; ++j) {
    repeated.push_back(j % 8 == 3 ? 0.2 : 0.0);
  }
  QVERIFY(rowEcho(repeated, 8) > 0.95);
  QVERIFY(rowEcho(repeated, 5) <= 0);
  QCOMPARE(wholePeriods(MeasuredPeriod{6.25, 1}, 300), std::int64_t{25});
  QCOMPARE(wholePeriods(MeasuredPeriod{40, 1}, 100), std::int64_t{0});
}

void TestCases::shortTexts() {
  SyntheticCapture options;
  for (std::int64_t tokens = 1; tokens < 40; ++tokens) {
    options.tokens = tokens;
    const Report report = analyzeCapture(*makeCapture(options));
    for (const HeadReport& head : report.layers[0].heads) {
      for (const double score : head.cases.scores) {
        QVERIFY(score >= 0 && score <= 1);
      }
    }
  }
}

void TestCases::everyKindOfCapture_data() {
  QTest::addColumn<int>("kind");
  int index = 0;
  for (const auto& [name, options] : capturesOfEveryKind(100)) {
    QTest::newRow(name.c_str()) << index++;
  }
}

void TestCases::everyKindOfCapture() {
  QFETCH(int, kind);
  const Report report =
      analyzeCapture(*makeCapture(capturesOfEveryKind(100).at(static_cast<std::size_t>(kind)).second));
  for (const HeadReport& head : report.layers[0].heads) {
    for (const BoundSummary& bound : head.bounds->summaries) {
      QCOMPARE(bound.violations, std::int64_t{0});
    }
    QVERIFY((*head.bounds)[Statement::Theorem52].pairs > 4000);
  }
}

void TestCases::plansWithoutRoom() {
  ConstructionPlan plan;
  plan.tokens = 10;
  QVERIFY_THROWS_EXCEPTION(Error, constructHead(plan));
  plan = {};
  plan.dim = 17;
  QVERIFY_THROWS_EXCEPTION(Error, constructHead(plan));
  plan = {};
  plan.base = 2;  // every channel turns fast: none is too slow to matter
  QVERIFY_THROWS_EXCEPTION(Error, constructHead(plan));
}

QTEST_GUILESS_MAIN(TestCases)
#include "tst_cases.moc"
