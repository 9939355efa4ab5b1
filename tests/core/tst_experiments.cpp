// The paper's two experiments on constructed heads, thresholds on a whole report, needle prompts, notes of the gallery.

#include <QTemporaryDir>
#include <QtTest>
#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <random>

#include "core/analysis/constructed_heads.h"
#include "core/analysis/experiments.h"
#include "core/analysis/needle_prompt.h"
#include "core/analysis/report.h"
#include "core/base/error.h"
#include "tests/support/synthetic_capture.h"

using namespace headscope;
using namespace headscope::test;

namespace {

/// Three heads over 80 ids whose second half repeats the first: head 0 puts all on what came 40 ids before the next
/// one, the others are random. Without RoPE.
std::shared_ptr<const Capture> repeatingCapture(unsigned seed) {
  constexpr int kTokens = 80, kHeads = 3, kDim = 64;
  CaptureHeader header;
  header.model = header.family = "test";
  header.layers = 1;
  header.heads = header.kvHeads = kHeads;
  header.headDim = kDim;
  header.attention = {AttentionSpec{}};
  for (std::int64_t t = 0; t < kTokens; ++t) {
    header.ids.push_back(t % 40);
  }
  CaptureBuilder::Options options;
  options.shapes = {{kHeads, kHeads, kDim}};
  options.lse = false;
  CaptureBuilder builder(header, kTokens, options);
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  const CaptureBuilder::Target target = builder.target(0);
  auto* q = reinterpret_cast<float*>(target.q);
  auto* k = reinterpret_cast<float*>(target.k);
  std::generate(q, q + kHeads * kTokens * kDim, [&] { return normal(random); });
  std::generate(k, k + kHeads * kTokens * kDim, [&] { return normal(random); });
  for (int t = 39; t < kTokens; ++t) {  // of head 0
    for (int d = 0; d < kDim; ++d) {
      q[t * kDim + d] = 4 * k[(t - 39) * kDim + d];
    }
  }
  builder.finishLayer(0);
  builder.finish();
  return builder.capture();
}

}  // namespace

class TestExperiments : public QObject {
  Q_OBJECT

 private slots:
  void constructedHeadsShowBoth();
  void readingsAreThoseOfTheLens();
  void otherCasesDontPretend();
  void verdicts();
  void layersWithoutRope();
  void thresholdsChangeTheWholeReport();
  void notesSurviveAFile();
  void needlesStandTwice();
  void needleScoresAreMeans();
};

// Whatever is drawn at random in a periodic head: a move within reach and the lower base show the predicted period.
void TestExperiments::constructedHeadsShowBoth() {
  int moves = 0, bases = 0, after = 0;
  for (unsigned seed = 1; seed <= 12; ++seed) {
    const auto capture = galleryCapture(0.05, seed);
    const Replay replay = replayExperiments(*capture, 0, static_cast<int>(Case::PeriodicSequential));
    QVERIFY(replay.readings.front().verdict == PeriodVerdict::Shown);
    for (const ExperimentReading& reading : replay.readings) {
      if (reading.verdict == PeriodVerdict::OutOfReach) {
        QVERIFY(*reading.predictedPeriod > static_cast<double>(capture->tokens()) / 4 || *reading.predictedPeriod < 2);
        continue;
      }
      QVERIFY2(reading.verdict == PeriodVerdict::Shown, qPrintable(QString::number(seed)));
      // T = 2π c^(2m/r) with the base and channel in force.
      const double base = reading.interventions.ropeBase.value_or(capture->rope(0)->base);
      const double period = 2 * std::numbers::pi * std::pow(base, 2.0 * *reading.channel / capture->header().headDim);
      QVERIFY(std::abs(*reading.predictedPeriod / period - 1) < 1e-9);
      QVERIFY(std::abs(reading.measuredPeriod->tokens - period) <= std::max(0.5, 0.03 * period));
    }
    moves += replay.shows(Experiment::MoveChannel) ? 1 : 0;
    bases += replay.shows(Experiment::LowerBase) ? 1 : 0;
    after += replay.shows(Experiment::BaseAfterMove) ? 1 : 0;
  }
  QCOMPARE(moves, 12);
  QCOMPARE(bases, 12);
  QCOMPARE(after, 12);
}

void TestExperiments::readingsAreThoseOfTheLens() {
  const auto capture = makeCapture(capturesOfEveryKind(120)[0].second);
  for (const ExperimentReading& reading : replayExperiments(*capture, 0, 0).readings) {
    const RopeLens lens = ropeLens(makeHeadVectors(*capture, 0, 0, reading.interventions));
    QCOMPARE(reading.channel, lens.spectrum.dominant);
    QCOMPARE(reading.predictedPeriod, lens.spectrum.predictedPeriod);
    QCOMPARE(reading.measuredPeriod.has_value(), lens.measuredPeriod.has_value());
  }
}

// Random queries and keys have no period, whichever channel is moved.
void TestExperiments::otherCasesDontPretend() {
  for (unsigned seed = 1; seed <= 12; ++seed) {
    const auto capture = galleryCapture(0.05, seed);
    const Replay replay = replayExperiments(*capture, 0, static_cast<int>(Case::Unpredictable));
    QVERIFY(!replay.shows(Experiment::MoveChannel));
    QVERIFY(!replay.shows(Experiment::LowerBase));
    QVERIFY(!replay.shows(Experiment::BaseAfterMove));
  }
}

void TestExperiments::verdicts() {
  QVERIFY(periodVerdict(20.0, MeasuredPeriod{20.5, 0.9}, 200) == PeriodVerdict::Shown);
  QVERIFY(periodVerdict(20.0, MeasuredPeriod{20.7, 0.9}, 200) == PeriodVerdict::NotShown);
  QVERIFY(periodVerdict(40.0, MeasuredPeriod{41.1, 0.9}, 200) == PeriodVerdict::Shown);
  QVERIFY(periodVerdict(20.0, MeasuredPeriod{20.0, 0.7}, 200) == PeriodVerdict::NotShown);
  QVERIFY(periodVerdict(20.0, std::nullopt, 200) == PeriodVerdict::NotShown);
  QVERIFY(periodVerdict(51.0, MeasuredPeriod{51.0, 0.9}, 200) == PeriodVerdict::OutOfReach);
  QVERIFY(periodVerdict(std::nullopt, MeasuredPeriod{51.0, 0.9}, 200) == PeriodVerdict::OutOfReach);
}

void TestExperiments::layersWithoutRope() {
  int without = 0;
  for (const auto& [name, options] : capturesOfEveryKind(70)) {
    const auto capture = makeCapture(options);
    const Replay replay = replayExperiments(*capture, 0, 0);
    QCOMPARE(replay.readings.empty(), capture->rope(0) == nullptr);
    without += capture->rope(0) == nullptr ? 1 : 0;
  }
  QVERIFY(without > 0);
}

void TestExperiments::thresholdsChangeTheWholeReport() {
  const auto capture = galleryCapture();
  Report report = analyzeCapture(*capture);
  const Report before = report;
  CaseThresholds strict;
  strict.predictable = 1;
  applyThresholds(report, strict);
  for (const HeadReport& head : report.layers[0].heads) {
    QVERIFY(head.cases.label == Case::Unpredictable);
    QVERIFY(head.cases.predictedLabel == Case::Unpredictable);
  }
  QCOMPARE(report.agreement.sameLabel, std::int64_t{kCaseCount});
  applyThresholds(report, {});
  for (std::size_t head = 0; head < kCaseCount; ++head) {
    QVERIFY(report.layers[0].heads[head].cases.label == before.layers[0].heads[head].cases.label);
    QCOMPARE(report.layers[0].heads[head].cases.scores, before.layers[0].heads[head].cases.scores);
  }
  QCOMPARE(report.agreement.rankCorrelation, before.agreement.rankCorrelation);
}

void TestExperiments::notesSurviveAFile() {
  const QTemporaryDir folder;
  const auto file = folder.filePath(QStringLiteral("gallery.safetensors")).toStdString();
  const auto capture = galleryCapture();
  capture->save(file);
  const auto read = Capture::open(file);
  QCOMPARE(read->header().headNotes, capture->header().headNotes);
  for (int head = 0; head < read->header().heads; ++head) {
    const std::string_view note = read->header().headNote(0, head);
    QVERIFY(note.find(constructedFrom(static_cast<Case>(head))) != std::string_view::npos);
  }
  QVERIFY(read->header().headNote(1, 0).empty());
}

void TestExperiments::needlesStandTwice() {
  const std::string haystack = "One sentence is here. Another follows it. A third ends the tale. Then there is a last.";
  const auto prompts = needlePrompts(haystack);
  QCOMPARE(prompts.size(), std::size_t{3});
  std::size_t previous = 0;
  for (const NeedlePrompt& prompt : prompts) {
    const std::size_t first = prompt.text.find(prompt.needle);
    QVERIFY(first != std::string::npos);
    QCOMPARE(prompt.text.rfind(prompt.needle), prompt.text.size() - prompt.needle.size());
    QVERIFY(first + prompt.needle.size() < prompt.text.size() - prompt.needle.size());
    QVERIFY(first == 0 || prompt.text.substr(first - 2, 2) == ". ");
    QVERIFY(first >= previous);
    previous = first;
    std::string rest = prompt.text;
    QCOMPARE(rest.erase(first, prompt.needle.size() + 1).substr(0, haystack.size()), haystack);
  }
  QVERIFY(!needlePrompts({}).empty());
}

void TestExperiments::needleScoresAreMeans() {
  NeedleScores scores;
  QVERIFY(!scores.copied(0, 0));
  std::array<double, 3> sums{};
  for (const unsigned seed : {1u, 2u}) {
    const auto capture = repeatingCapture(seed);
    scores.add(*capture);
    const auto span = findNeedle(capture->header().ids);
    QVERIFY(span.has_value());
    for (int head = 0; head < 3; ++head) {
      sums[static_cast<std::size_t>(head)] +=
          retrievalScore(makeHeadVectors(*capture, 0, head), capture->header().ids, *span).copied;
    }
  }
  QCOMPARE(scores.prompts(), 2);
  for (int head = 0; head < 3; ++head) {
    QCOMPARE(*scores.copied(0, head), sums[static_cast<std::size_t>(head)] / 2);
  }
  QVERIFY(sums[0] > 1.9 && sums[1] < 0.5);  // head 0 looks 39 back, the others anywhere
  QVERIFY(!scores.copied(1, 0) && !scores.copied(0, 3));
  QVERIFY_EXCEPTION_THROWN(scores.add(*galleryCapture()), Error);  // its ids never repeat
}

QTEST_GUILESS_MAIN(TestExperiments)
#include "tst_experiments.moc"
