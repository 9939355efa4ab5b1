// Scores of heads on a device against those of the processor, which other suites check: the kernels themselves on the
// processor (emulated_gpu.h) everywhere, and on the GPU that HEADSCOPE_TEST_DEVICE names.

#include <QtTest>
#include <cmath>
#include <filesystem>

#include "core/analysis/device/device_report.h"
#include "core/analysis/report.h"
#include "core/gpu/cuda_runtime.h"
#include "core/gpu/driver.h"
#include "core/model/model.h"
#include "tests/support/emulated_gpu.h"
#include "tests/support/synthetic_capture.h"
#include "tests/support/test_machine.h"

using namespace headscope;
using namespace headscope::test;

namespace {

/// All in double on both sides: what differs is the order of sums, and of transforms.
constexpr double kTolerance = 1e-8;

bool near(double a, double b, double tolerance = kTolerance) {
  return (std::isnan(a) && std::isnan(b)) || std::abs(a - b) <= tolerance * std::max({1.0, std::abs(a), std::abs(b)});
}

bool near(const std::optional<double>& a, const std::optional<double>& b, double tolerance = kTolerance) {
  return a.has_value() == b.has_value() && (!a || near(*a, *b, tolerance));
}

/// Collects what differs, by name.
class Differences {
 public:
  template <typename Number>
  void check(const std::string& name, const Number& device, const Number& processor) {
    if (!near(device, processor)) {
      add(name, shown(device), shown(processor));
    }
  }
  void checkWhole(const std::string& name, std::int64_t device, std::int64_t processor) {
    if (device != processor) {
      add(name, std::to_string(device), std::to_string(processor));
    }
  }
  const QString& text() const { return text_; }

 private:
  static std::string shown(double x) { return concat(x); }
  static std::string shown(const std::optional<double>& x) { return x ? concat(*x) : "none"; }
  void add(const std::string& name, const std::string& device, const std::string& processor) {
    text_ += QString::fromStdString(concat(name, ": ", device, ", processor ", processor, "\n"));
  }

  QString text_;
};

void compare(const CaseEvidence& device, const CaseEvidence& processor, const std::string& where, Differences& found) {
  found.check(where + "columnStep", device.columnStep, processor.columnStep);
  found.check(where + "columnLong", device.columnLong, processor.columnLong);
  found.check(where + "diagonalStep", device.diagonalStep, processor.diagonalStep);
  found.check(where + "diagonalLong", device.diagonalLong, processor.diagonalLong);
  found.check(where + "seasonRows", device.seasonRows, processor.seasonRows);
  found.check(where + "seasonBetween", device.seasonBetween, processor.seasonBetween);
  found.checkWhole(where + "season", device.season, processor.season);
  found.check(where + "periodStrength", device.periodStrength, processor.periodStrength);
  found.check(where + "echo", device.echo, processor.echo);
}

void compare(const BoundReport& device, const BoundReport& processor, const std::string& where, Differences& found) {
  found.checkWhole(where + "season", device.season, processor.season);
  found.checkWhole(where + "period", device.diagonalPeriod, processor.diagonalPeriod);
  for (std::size_t s = 0; s < kStatementCount; ++s) {
    const std::string name = concat(where, statementKey(static_cast<Statement>(s)), " ");
    found.checkWhole(name + "pairs", device.summaries[s].pairs, processor.summaries[s].pairs);
    found.checkWhole(name + "violations", device.summaries[s].violations, processor.summaries[s].violations);
    found.check(name + "mean", device.summaries[s].tightnessMean, processor.summaries[s].tightnessMean);
    found.check(name + "max", device.summaries[s].tightnessMax, processor.summaries[s].tightnessMax);
  }
}

void compare(const HeadReport& device, const HeadReport& processor, Differences& found) {
  const std::string where = concat(processor.layer, ".", processor.head, " ");
  found.checkWhole(where + "kvHead", device.kvHead, processor.kvHead);
  for (const ScoreDefinition& score : scoreDefinitions()) {
    const auto s = static_cast<std::size_t>(&score - scoreDefinitions().data());
    found.check(concat(where, score.name), device.scores.values[s], processor.scores.values[s]);
  }
  for (std::size_t m = 0; processor.measures && m < kMeasureCount; ++m) {
    found.check(concat(where, "measure ", m), (*device.measures)[m], (*processor.measures)[m]);
  }
  found.checkWhole(where + "channel", device.dominantChannel.value_or(-1), processor.dominantChannel.value_or(-1));
  found.check(where + "dominance", device.dominance, processor.dominance);
  found.check(where + "predicted period", device.period.predicted, processor.period.predicted);
  found.check(where + "measured period", device.period.measured, processor.period.measured);
  found.check(where + "strength", device.period.strength, processor.period.strength);
  compare(device.cases.evidence, processor.cases.evidence, where + "measured ", found);
  compare(device.cases.predictedEvidence, processor.cases.predictedEvidence, where + "expected ", found);
  for (std::size_t c = 0; c < kCaseCount; ++c) {
    found.check(concat(where, "case ", c), device.cases.scores[c], processor.cases.scores[c]);
  }
  found.checkWhole(where + "bounds", device.bounds.has_value(), processor.bounds.has_value());
  if (device.bounds && processor.bounds) {
    compare(*device.bounds, *processor.bounds, where, found);
  }
  found.checkWhole(where + "retrieval", device.retrieval.has_value(), processor.retrieval.has_value());
  if (device.retrieval && processor.retrieval) {
    found.check(where + "copied", device.retrieval->copied, processor.retrieval->copied);
    found.check(where + "mass", device.retrieval->mass, processor.retrieval->mass);
  }
}

/// Heads on the emulated device, or on a real one.
std::vector<LayerReport> onDevice(const Capture& capture, AnalysisOptions options) {
  std::vector<int> layers;
  for (int layer = 0; layer < capture.header().layers; ++layer) {
    layers.push_back(layer);
  }
  if (onCpu()) {
    EmulatedProgram program;
    device::Outcome outcome = device::analyzeLayers(program, capture, layers, options, {});
    if (!outcome.note.empty()) {
      qWarning("%s", outcome.note.c_str());
    }
    return std::move(outcome.layers);
  }
  options.device = testMachine().device;
  Report report = analyzeCapture(capture, options);
  if (!report.note.empty() || !report.device.starts_with("cuda")) {
    qWarning("on %s: %s", report.device.c_str(), report.note.c_str());
    return {};
  }
  return report.layers;
}

QString differences(const std::vector<LayerReport>& device, const std::vector<LayerReport>& processor) {
  Differences found;
  found.checkWhole("layers", static_cast<std::int64_t>(device.size()), static_cast<std::int64_t>(processor.size()));
  for (std::size_t l = 0; l < std::min(device.size(), processor.size()); ++l) {
    for (std::size_t h = 0; h < processor[l].heads.size(); ++h) {
      compare(device[l].heads[h], processor[l].heads[h], found);
    }
    found.check("mean entropy", device[l].means[Score::Entropy], processor[l].means[Score::Entropy]);
  }
  return found.text();
}

QString differences(const Capture& capture, const AnalysisOptions& options) {
  const Report processor = analyzeCapture(capture, options);
  std::vector<LayerReport> device = onDevice(capture, options);
  std::sort(device.begin(), device.end(), [](const auto& a, const auto& b) { return a.layer < b.layer; });
  return differences(device, processor.layers);
}

/// Two rounds of the same ids, so that there is a needle, and some ids that come often.
std::vector<std::int64_t> repeatingIds(std::int64_t tokens) {
  std::vector<std::int64_t> ids;
  for (std::int64_t t = 0; t < tokens; ++t) {
    const std::int64_t at = t % (tokens / 2);
    ids.push_back(at % 3 == 0 ? at % 7 : 100 + at);
  }
  return ids;
}

AnalysisOptions rough() {
  AnalysisOptions options = estimateOptions();
  options.sample.rows = 24;
  options.boundSample = RowSample{16};
  options.lagTokens = 70;
  return options;
}

}  // namespace

class TestAnalysisDevice : public QObject {
  Q_OBJECT

 private Q_SLOTS:
  void everyKind_data() {
    QTest::addColumn<int>("kind");
    QTest::addColumn<bool>("estimate");
    const auto kinds = capturesOfEveryKind(8);
    for (std::size_t kind = 0; kind < kinds.size(); ++kind) {
      for (const bool estimate : {true, false}) {
        QTest::addRow("%s, %s", kinds[kind].first.c_str(), estimate ? "estimate" : "exact")
            << static_cast<int>(kind) << estimate;
      }
    }
  }
  void everyKind() {
    QFETCH(int, kind);
    QFETCH(bool, estimate);
    SyntheticCapture synthetic = capturesOfEveryKind(131).at(static_cast<std::size_t>(kind)).second;
    synthetic.ids = repeatingIds(synthetic.tokens);
    synthetic.layers = 2;
    const QString found = differences(*makeCapture(synthetic), estimate ? rough() : AnalysisOptions());
    QVERIFY2(found.isEmpty(), qPrintable(found));
  }

  void longerThanAChunk() {
    SyntheticCapture synthetic;
    synthetic.tokens = 1100;
    synthetic.heads = 3;
    synthetic.dim = 32;
    synthetic.spread = 0.8;
    synthetic.lse = false;
    AnalysisOptions options = rough();
    options.lagTokens = 512;
    const QString found = differences(*makeCapture(synthetic), options);
    QVERIFY2(found.isEmpty(), qPrintable(found));
  }

  /// Columns that the probe's rows don't see are all alike: the lower ones are kept.
  void linesOfEqualMass() {
    SyntheticCapture synthetic;
    synthetic.tokens = 140;
    synthetic.window = 9;
    AnalysisOptions options = rough();
    options.verticalSlash = {20, 0.5, 0.02};
    const QString found = differences(*makeCapture(synthetic), options);
    QVERIFY2(found.isEmpty(), qPrintable(found));
  }

  void whatIsLeftToTheProcessor() {
    SyntheticCapture synthetic;
    synthetic.tokens = 90;
    AnalysisOptions options = rough();
    options.measures = true;
    options.season = 9;
    QString found = differences(*makeCapture(synthetic), options);
    QVERIFY2(found.isEmpty(), qPrintable(found));
    options.bounds = options.cases = false;
    found = differences(*makeCapture(synthetic), options);
    QVERIFY2(found.isEmpty(), qPrintable(found));
  }

  /// What a run leaves on the GPU gives the same figures as what is brought back there.
  void rowsLeftByARun() {
    const std::filesystem::path model = HEADSCOPE_SHARED "/models/stories260K";
    if (onCpu() || !std::filesystem::exists(model)) {
      QSKIP("needs HEADSCOPE_TEST_DEVICE and ../shared/models/stories260K");
    }
    std::vector<std::int64_t> ids{1};
    for (std::int64_t t = 1; t < 300; ++t) {
      ids.push_back(3 + t * t * 7 % 400);
    }
    RunOptions run;
    run.deviceRows = true;
    const auto opened = Model::open(model, testMachine());
    for (const std::int64_t block : {0, 64}) {
      run.block = block;
      const auto capture = opened->run(ids, run).capture;
      AnalysisOptions options;
      options.device = testMachine().device;
      QVERIFY(capture->deviceRows(0).has_value());
      const Report there = analyzeCapture(*capture, options);
      capture->dropDeviceRows();
      QVERIFY(!capture->deviceRows(0).has_value());
      const Report brought = analyzeCapture(*capture, options);
      for (std::size_t l = 0; l < there.layers.size(); ++l) {
        for (std::size_t h = 0; h < there.layers[l].heads.size(); ++h) {
          QCOMPARE(there.layers[l].heads[h].scores[Score::Entropy], brought.layers[l].heads[h].scores[Score::Entropy]);
          QCOMPARE(there.layers[l].heads[h].scores[Score::KSimilarityConsecutive],
                   brought.layers[l].heads[h].scores[Score::KSimilarityConsecutive]);
        }
      }
      const QString found = differences(*capture, options);
      QVERIFY2(found.isEmpty(), qPrintable(found));
    }
  }

  /// A new run lets go of what the one before left.
  void onlyTheLatestRunKeepsRows() {
    const std::filesystem::path model = HEADSCOPE_SHARED "/models/stories260K";
    if (onCpu() || !std::filesystem::exists(model)) {
      QSKIP("needs HEADSCOPE_TEST_DEVICE and ../shared/models/stories260K");
    }
    const std::vector<std::int64_t> ids(100, 5);
    RunOptions run;
    run.deviceRows = true;
    const auto opened = Model::open(model, testMachine());
    const auto first = opened->run(ids, run).capture, second = opened->run(ids, run).capture;
    QVERIFY(!first->deviceRows(0).has_value() && second->deviceRows(0).has_value());
  }

  /// With the GPU's memory taken, fewer layers at once, then the processor.
  void memoryIsShort_data() {
    QTest::addColumn<int>("megabytes");
    QTest::addRow("nothing fits") << 60;
    QTest::addRow("some fits") << 1200;
  }
  void memoryIsShort() {
    QFETCH(int, megabytes);
    if (onCpu()) {
      QSKIP("needs HEADSCOPE_TEST_DEVICE");
    }
    SyntheticCapture synthetic;
    synthetic.layers = 3;
    synthetic.heads = 16;
    synthetic.kvHeads = 4;
    synthetic.dim = 128;
    synthetic.tokens = 6000;
    synthetic.scale = 0.06;
    synthetic.lse = false;
    const auto capture = makeCapture(synthetic);
    AnalysisOptions options = rough();
    const Report processor = analyzeCapture(*capture, options);
    options.device = testMachine().device;
    const gpu::Device device = gpu::openDevice(0);
    gpu::enter(device);
    const std::uint64_t left = static_cast<std::uint64_t>(megabytes) << 20, free = listGpus().front().freeBytes;
    QVERIFY(free > left);
    const gpu::Memory taken(free - left);
    const Report report = analyzeCapture(*capture, options);
    qInfo("%s; %s", report.device.c_str(), report.note.c_str());
    QVERIFY(report.device != "cpu" || !report.note.empty());
    const QString found = differences(report.layers, processor.layers);
    QVERIFY2(found.isEmpty(), qPrintable(found));
  }

  void aDeviceThatIsNotHere() {
    AnalysisOptions options;
    options.device = "cuda:77";
    const auto capture = makeCapture({});
    QVERIFY_THROWS_EXCEPTION(Error, analyzeCapture(*capture, options));
    options.device = "tpu";
    QVERIFY_THROWS_EXCEPTION(Error, analyzeCapture(*capture, options));
  }
};

QTEST_GUILESS_MAIN(TestAnalysisDevice)
#include "tst_analysis_device.moc"
