// The RoPE lens: the golden heads of ../shared/tappa/bounds (also in tests/golden/tappa), curves by hand,
// interventions.

#include <QtTest>
#include <cmath>
#include <numbers>
#include <random>

#include "core/analysis/constructed_heads.h"
#include "core/analysis/report.h"
#include "core/analysis/rope_lens.h"
#include "core/files/json.h"
#include "tests/support/golden_tensors.h"
#include "tests/support/synthetic_capture.h"

using namespace headscope;
using namespace headscope::test;

namespace {

const QString kFolder = QStringLiteral(HEADSCOPE_SOURCE "/tests/golden/tappa");

struct GoldenHead {
  Json meta;
  std::vector<double> q, k, predicted, measured;
  Rope rope;

  /// With an intervention as the golden file writes it.
  HeadVectors vectors(const Json& intervention = {}) const {
    AttentionSpec spec;
    spec.scale = meta["sigma"];
    Interventions changes;
    if (intervention.contains("swap_channels")) {
      changes.moveChannels.emplace_back(intervention["swap_channels"][0], intervention["swap_channels"][1]);
    }
    if (intervention.contains("new_base")) {
      changes.ropeBase = intervention["new_base"];
    }
    const int dim = meta["head_dim"];
    std::vector<double> queries = q, keys = k;
    changeChannels(rope, changes, true, meta["tokens"], dim, queries.data());
    changeChannels(rope, changes, false, meta["tokens"], dim, keys.data());
    return makeHeadVectors(queries, keys, dim, spec, intervenedRope(rope, changes));
  }
};

std::vector<GoldenHead> goldenHeads() {
  std::vector<GoldenHead> heads;
  const auto file = SafetensorsFile::open((kFolder + "/heads.safetensors").toStdString());
  for (const Json& meta : readJson((kFolder + "/heads.json").toStdString())) {
    const std::string name = meta["name"];
    GoldenHead head;
    head.meta = meta;
    head.q = goldenTensor(*file, name + ".q").values;
    head.k = goldenTensor(*file, name + ".k").values;
    head.predicted = goldenTensor(*file, name + ".g_predicted").values;
    head.measured = goldenTensor(*file, name + ".logit_by_distance").values;
    head.rope.rotaryDims = meta["rotary_dim"];
    head.rope.base = meta["base"];
    head.rope.invFreq = goldenTensor(*file, name + ".theta").values;
    heads.push_back(std::move(head));
  }
  return heads;
}

double largestDifference(const std::vector<double>& a, const std::vector<double>& b) {
  double worst = a.size() == b.size() ? 0 : INFINITY;
  for (std::size_t j = 0; j < std::min(a.size(), b.size()); ++j) {
    worst = std::max(worst, std::abs(a[j] - b[j]));
  }
  return worst;
}

/// Error of a period against the golden one, in units of what is allowed: max(0.5 token, 3 %).
double periodError(const std::optional<MeasuredPeriod>& period, const Json& expected) {
  if (expected.is_null()) {
    return period ? INFINITY : 0;
  }
  return period ? std::abs(period->tokens - expected.get<double>()) / std::max(0.5, 0.03 * expected.get<double>())
                : INFINITY;
}

}  // namespace

class TestRopeLens : public QObject {
  Q_OBJECT

 private slots:
  void golden();
  void goldenInterventions();
  void curvesByHand_data();
  void curvesByHand();
  void constantHeadsArePredictedExactly();
  void spectrum();
  void noPeriod();
  void periodsOfWaves();
  void interventionsOnACapture();
};

void TestRopeLens::golden() {
  double curve = 0, share = 0, period = 0, strength = 0;
  for (const GoldenHead& golden : goldenHeads()) {
    const RopeLens lens = ropeLens(golden.vectors());
    const Json& numbers = golden.meta["numbers"];
    curve = std::max({curve, largestDifference(lens.predictedByDistance, golden.predicted),
                      largestDifference(lens.measuredByDistance, golden.measured)});
    share = std::max(share, std::abs(*lens.spectrum.dominance / numbers["dominance"].get<double>() - 1));
    for (const RopeChannel& channel : lens.spectrum.channels) {
      share = std::max(
          share, std::abs(channel.share - numbers["channel_share"][static_cast<std::size_t>(channel.m)].get<double>()));
    }
    QCOMPARE(*lens.spectrum.dominant, numbers["dominant_channel"].get<int>());
    QVERIFY(std::abs(*lens.spectrum.predictedPeriod / numbers["predicted_period"].get<double>() - 1) < 1e-12);
    period = std::max(period, periodError(lens.measuredPeriod, numbers["measured_period"]));
    strength = std::max(strength, std::abs((lens.measuredPeriod ? lens.measuredPeriod->strength : 0) -
                                           numbers["measured_period_strength"].get<double>()));
  }
  qInfo("largest error: curves %.2g, shares %.2g, strength %.2g, period %.2g of the tolerance", curve, share, strength,
        period);
  QVERIFY(curve < 1e-10 && share < 1e-10 && strength < 1e-9 && period < 1e-6);
}

void TestRopeLens::goldenInterventions() {
  int count = 0;
  for (const GoldenHead& golden : goldenHeads()) {
    for (const Json& intervention : golden.meta["interventions"]) {
      const RopeLens lens = ropeLens(golden.vectors(intervention));
      QCOMPARE(*lens.spectrum.dominant, intervention["dominant_channel"].get<int>());
      QVERIFY(std::abs(*lens.spectrum.predictedPeriod / intervention["predicted_period"].get<double>() - 1) < 1e-12);
      QVERIFY(periodError(lens.measuredPeriod, intervention["measured_period"]) < 1e-6);
      QVERIFY(std::abs((lens.measuredPeriod ? lens.measuredPeriod->strength : 0) -
                       intervention["measured_period_strength"].get<double>()) < 1e-9);
      ++count;
    }
  }
  QCOMPARE(count, 12);
}

void TestRopeLens::curvesByHand_data() {
  QTest::addColumn<int>("kind");
  int index = 0;
  for (const auto& [name, options] : capturesOfEveryKind(70)) {
    QTest::newRow(name.c_str()) << index++;
  }
}

void TestRopeLens::curvesByHand() {
  QFETCH(int, kind);
  const auto capture = makeCapture(capturesOfEveryKind(70)[static_cast<std::size_t>(kind)].second);
  const HeadVectors head = makeHeadVectors(*capture, 0, capture->layer(0).heads - 1);
  const std::vector<double> measured = lagCurves(head).logitByDistance, predicted = predictedLogitByDistance(head);
  for (std::int64_t distance = 0; distance < 70; ++distance) {
    double sum = 0;
    for (std::int64_t t = distance; t < 70; ++t) {
      for (int d = 0; d < head.dim; ++d) {
        sum += head.dotQRow(t)[static_cast<std::size_t>(d)] * head.dotKRow(t - distance)[static_cast<std::size_t>(d)];
      }
    }
    const double expected = head.frame->spec.scale * sum / static_cast<double>(70 - distance);
    QVERIFY(std::abs(measured[static_cast<std::size_t>(distance)] - expected) < 1e-10);
  }
  if (!head.frame->spec.postRope.empty()) {
    return;
  }
  // Predicted: a head whose every query and key is the mean has this logit at position distance Δ.
  std::vector<double> q(static_cast<std::size_t>(head.dim), 0.0), k(q);
  for (std::int64_t t = 0; t < 70; ++t) {
    for (std::size_t d = 0; d < q.size(); ++d) {
      q[d] += head.qRow(t)[d] / 70;
      k[d] += head.kRow(t)[d] / 70;
    }
  }
  for (const std::int64_t distance : {0, 1, 9, 69}) {
    std::vector<double> row = q, key = k;
    if (head.frame->rope) {
      const std::array<std::int64_t, 1> query{distance}, first{0};
      rotateExactly(*head.frame->rope, query, head.dim, row.data());
      rotateExactly(*head.frame->rope, first, head.dim, key.data());
    }
    double sum = 0;
    for (std::size_t d = 0; d < q.size(); ++d) {
      sum += row[d] * key[d];
    }
    QVERIFY(std::abs(predicted[static_cast<std::size_t>(distance)] - head.frame->spec.scale * sum) < 1e-12);
  }
}

void TestRopeLens::constantHeadsArePredictedExactly() {
  // With the same q and k everywhere, the prediction is the measurement, also where norms follow RoPE (equal weights).
  PostRopeStep norm;
  norm.kind = PostRopeStep::Kind::RmsNorm;
  norm.eps = 1e-6;
  norm.q.assign(12, 1.5f);
  norm.k.assign(12, 0.5f);
  for (const bool normed : {false, true}) {
    AttentionSpec spec;
    spec.scale = 0.4;
    if (normed) {
      spec.postRope = {norm};
    }
    Rope rope;
    rope.rotaryDims = 8;
    rope.invFreq = {1, 0.3, 0.1, 0.03};
    rope.attentionScaling = 1.2;
    std::vector<double> q, k;
    for (int t = 0; t < 90; ++t) {
      for (int d = 0; d < 12; ++d) {
        q.push_back(std::sin(d + 1.0));
        k.push_back(std::cos(2.0 * d));
      }
    }
    const HeadVectors head = makeHeadVectors(q, k, 12, spec, rope);
    QVERIFY(largestDifference(predictedLogitByDistance(head), lagCurves(head).logitByDistance) < 1e-11);
  }
}

void TestRopeLens::spectrum() {
  SyntheticCapture options;
  options.tokens = 50;
  const auto capture = makeCapture(options);
  const RopeSpectrum spectrum = ropeSpectrum(makeHeadVectors(*capture, 0, 0));
  QCOMPARE(spectrum.channels.size(), std::size_t{4});
  double total = 0;
  for (const RopeChannel& channel : spectrum.channels) {
    QVERIFY(channel.strength > 0);
    QVERIFY(channel.share <= spectrum.channels[static_cast<std::size_t>(*spectrum.dominant)].share);
    QVERIFY(std::abs(channel.wavelength * channel.invFreq / (2 * std::numbers::pi) - 1) < 1e-14);
    total += channel.share;
  }
  QVERIFY(std::abs(total - 1) < 1e-14);
  QVERIFY(*spectrum.dominance >= 1);
  options.rotaryDims = 0;
  const RopeSpectrum none = ropeSpectrum(makeHeadVectors(*makeCapture(options), 0, 0));
  QVERIFY(none.channels.empty() && !none.dominant && !none.dominance && !none.predictedPeriod);
  options.rotaryDims = 2;
  const RopeSpectrum one = ropeSpectrum(makeHeadVectors(*makeCapture(options), 0, 0));
  QVERIFY(one.dominant && !one.dominance);
  Interventions still;
  still.noRope = true;
  const RopeSpectrum frozen = ropeSpectrum(makeHeadVectors(*capture, 0, 0, still));
  QVERIFY(frozen.dominant && !frozen.predictedPeriod && std::isinf(frozen.channels[0].wavelength));
}

void TestRopeLens::noPeriod() {
  QVERIFY(!measurePeriod({}));
  QVERIFY(!measurePeriod({1, 2, 3, 4, 5}));
  std::vector<double> line;
  for (int d = 0; d < 300; ++d) {
    line.push_back(0.1 - 0.37 * d);
  }
  QVERIFY(!measurePeriod(line));
  QVERIFY(!measurePeriod(std::vector<double>(100, 0.1)));
}

void TestRopeLens::periodsOfWaves() {
  for (const double period : {4.0, 6.283185, 11.17, 35.33, 63.0}) {
    std::vector<double> wave;
    for (int d = 0; d < 512; ++d) {
      wave.push_back(0.01 * d + std::cos(2 * std::numbers::pi * d / period + 0.4));
    }
    const auto measured = measurePeriod(wave);
    QVERIFY(measured);
    QVERIFY2(std::abs(measured->tokens - period) < std::max(0.5, 0.03 * period), qPrintable(QString::number(period)));
    QVERIFY(measured->strength > 0.7);
  }
}

void TestRopeLens::interventionsOnACapture() {
  const auto capture = galleryCapture();
  const int periodic = static_cast<int>(Case::PeriodicSequential);
  DetailOptions options;
  options.attention = options.cases = options.bounds = false;
  const HeadDetail before = analyzeHead(*capture, 0, periodic, options);
  options.interventions.moveChannels = {{*before.lens.spectrum.dominant, 1}};
  const HeadDetail moved = analyzeHead(*capture, 0, periodic, options);
  QCOMPARE(*moved.lens.spectrum.dominant, 1);
  QVERIFY(std::abs(moved.lens.measuredPeriod->tokens - *moved.lens.spectrum.predictedPeriod) < 0.5);
  QVERIFY(std::abs(before.lens.measuredPeriod->tokens - *before.lens.spectrum.predictedPeriod) <
          std::max(0.5, 0.03 * *before.lens.spectrum.predictedPeriod));
  options.interventions = {};
  options.interventions.ropeBase = 1000;
  const HeadDetail based = analyzeHead(*capture, 0, periodic, options);
  QVERIFY(*based.lens.spectrum.predictedPeriod < *before.lens.spectrum.predictedPeriod);
  QVERIFY(based.lens.measuredPeriod->tokens < before.lens.measuredPeriod->tokens);
  options.interventions = {};
  options.interventions.dropChannels = {*before.lens.spectrum.dominant};
  const HeadDetail dropped = analyzeHead(*capture, 0, periodic, options);
  QVERIFY(*dropped.lens.spectrum.dominant != *before.lens.spectrum.dominant);
  options.interventions.dropChannels = {99};
  QVERIFY_THROWS_EXCEPTION(Error, analyzeHead(*capture, 0, periodic, options));
}

QTEST_GUILESS_MAIN(TestRopeLens)
#include "tst_rope_lens.moc"
