// The window while long work is held at a gate: it says what it is doing, the event loop turns, the map stays usable,
// and the work can be cancelled with everything kept.

#include <qcustomplot.h>
#include <QApplication>
#include <QLabel>
#include <QTemporaryDir>
#include <QTimer>
#include <QtTest>
#include <algorithm>
#include <limits>
#include <optional>
#include <random>
#include <thread>

#include "tests/support/gate.h"
#include "tests/support/own_settings.h"
#include "tests/support/synthetic_capture.h"
#include "ui/jobs/jobs_list.h"
#include "ui/map/attention_map_view.h"
#include "ui/map/tile_plottable.h"
#include "ui/style/theme.h"
#include "ui/window/main_window.h"
#include "ui/window/resource_folder.h"
#include "ui/window/top_bar.h"

using namespace headscope;
using namespace headscope::ui;

namespace {

// Where the window's work waits when a test closes the gates.
struct Gates {
  std::shared_ptr<test::Gate> opening, running, generating;

  static void pass(const std::shared_ptr<test::Gate>& gate, const JobControl& control, const char* stage) {
    control.checkpoint(stage, 1, 4);
    if (gate) {
      gate->pass();
    }
    control.checkpoint();
  }
};

class GatedModel : public Model {
 public:
  GatedModel(std::shared_ptr<Model> model, Gates* gates) : model_(std::move(model)), gates_(gates) {}

  const ModelInfo& info() const override { return model_->info(); }
  std::string device() const override { return model_->device(); }
  std::string arithmetic() const override { return model_->arithmetic(); }
  RunResult run(std::span<const std::int64_t> ids, const RunOptions& options, const JobControl& control) override {
    Gates::pass(gates_->running, control, "held run");
    return model_->run(ids, options, control);
  }
  std::vector<std::int64_t> generate(std::span<const std::int64_t> prompt, const GenerateOptions& options,
                                     const JobControl& control) override {
    Gates::pass(gates_->generating, control, "held text");
    return model_->generate(prompt, options, control);
  }

 private:
  std::shared_ptr<Model> model_;
  Gates* gates_;
};

}  // namespace

class TstResponsiveness : public QObject {
  Q_OBJECT

 private slots:
  void initTestCase();
  void init();
  void cleanup();

  void namesAndCancels_data();
  void namesAndCancels();
  void newRunReplacesAHeldOne();
  void labelsWhatIsNotExact();
  void cancelsScores();
  void leavesALongMapForAnotherCapture();
  void closesWhileAJobIsHeld();

 private:
  void waitSettled() { QTRY_VERIFY_WITH_TIMEOUT(window_->settled(), 60000); }
  std::optional<JobStatus> activeJob() const;
  void checkUsable();
  std::shared_ptr<const Capture> longCapture(std::int64_t tokens, int heads) const;
  void openCapture(const std::shared_ptr<const Capture>& capture);

  QTemporaryDir folder_;
  Gates gates_;
  std::unique_ptr<MainWindow> window_;
};

void TstResponsiveness::initTestCase() {
  QVERIFY(folder_.isValid());
  test::keepSettingsIn(folder_.path());
  Appearance::instance().apply(ThemeKind::Dark);
}

void TstResponsiveness::init() {
  gates_ = {};
  EngineParts parts = EngineParts::real();
  parts.openModel = [this](const std::filesystem::path& path, const ModelOptions& options, const JobControl& control) {
    Gates::pass(gates_.opening, control, "held weights");
    return std::make_shared<GatedModel>(Model::open(path, options, control), &gates_);
  };
  window_ = std::make_unique<MainWindow>(folder_.filePath(QStringLiteral("journal")), parts);
  window_->resize(1600, 1000);
  window_->show();
  QVERIFY(QTest::qWaitForWindowExposed(window_.get()));
  window_->workspace()->openDemo();
  waitSettled();
}

void TstResponsiveness::cleanup() {
  for (const auto& gate : {gates_.opening, gates_.running, gates_.generating}) {
    if (gate) {
      gate->open();
    }
  }
  window_.reset();
}

std::optional<JobStatus> TstResponsiveness::activeJob() const {
  for (const JobStatus& job : window_->engine()->jobs()) {
    if (job.active()) {
      return job;
    }
  }
  return std::nullopt;
}

// The loop turns, the map zooms and draws, the wall selects, flags are set: all while something is held.
void TstResponsiveness::checkUsable() {
  Session* session = window_->session();
  QTest::keyClick(window_->map(), Qt::Key_0);
  const MapViewport before = session->viewport();
  QSignalSpy frames(window_->map(), &AttentionMapView::frameDrawn);
  QTest::keyClick(window_->map(), Qt::Key_Plus);
  QVERIFY(session->viewport() != before);
  QTRY_VERIFY(!frames.isEmpty());
  const HeadId head{session->selected().layer == 2 ? 3 : 2, 1};
  session->select(head);
  QTRY_VERIFY(window_->map()->exact());
  session->setFlag(head, true);
  QVERIFY(session->flagged(head));
}

void TstResponsiveness::namesAndCancels_data() {
  QTest::addColumn<QString>("what");
  QTest::addColumn<QString>("stage");
  QTest::newRow("opening a model") << QStringLiteral("Open") << QStringLiteral("held weights");
  QTest::newRow("running a text") << QStringLiteral("Run") << QStringLiteral("held run");
  QTest::newRow("continuing a text") << QStringLiteral("Continue") << QStringLiteral("held text");
}

void TstResponsiveness::namesAndCancels() {
  QFETCH(QString, what);
  QFETCH(QString, stage);
  const auto capture = window_->session()->capture();
  const auto model = window_->session()->model();
  window_->session()->setFlag({1, 1}, true);
  QSignalSpy words(window_->workspace(), &Workspace::progressed);
  const auto gate = std::make_shared<test::Gate>();
  if (what == QLatin1String("Open")) {
    gates_.opening = gate;
    window_->workspace()->open(resourcePath(QStringLiteral("demo/headscope-demo")));
  } else if (what == QLatin1String("Run")) {
    gates_.running = gate;
    window_->workspace()->run();
    QVERIFY(window_->topBar()->runButton()->running());  // at once, before the job has begun
  } else {
    gates_.generating = gate;
    window_->workspace()->continueText(8);
  }
  const auto listed = activeJob();  // the job is named from the call on, not only when it reports
  QVERIFY(listed.has_value());
  QVERIFY2(listed->title.startsWith(what), qPrintable(listed->title));
  gate->waitForArrival();
  QTRY_COMPARE(activeJob()->stage, stage);
  QVERIFY(!words.isEmpty());
  QVERIFY2(words.last().at(1).toString().contains(stage), qPrintable(words.last().at(1).toString()));
  QVERIFY(activeJob()->cancellable);
  QVERIFY(window_->findChild<JobsList*>()->active() >= 1);
  checkUsable();

  const quint64 id = activeJob()->id;
  window_->workspace()->stop();
  gate->open();
  const auto state = [this, id] {
    const QVector<JobStatus> jobs = window_->engine()->jobs();
    return std::find_if(jobs.begin(), jobs.end(), [id](const JobStatus& job) { return job.id == id; })->state;
  };
  QTRY_COMPARE(state(), JobStatus::State::Cancelled);
  QTRY_VERIFY(!window_->workspace()->running() && !window_->workspace()->opening());
  QVERIFY(window_->session()->flagged({1, 1}));
  QVERIFY(window_->session()->capture() == capture);
  QVERIFY(window_->session()->model() == model);
  checkUsable();
  gates_ = {};
  window_->workspace()->run();  // and the next run works
  waitSettled();
}

void TstResponsiveness::newRunReplacesAHeldOne() {
  const auto gate = gates_.running = std::make_shared<test::Gate>();
  window_->workspace()->run();
  gate->waitForArrival();
  const quint64 held = activeJob()->id;
  window_->session()->setPrompt(QStringLiteral("The castle key opens the green chest."));
  window_->workspace()->run();
  gate->open();
  waitSettled();
  for (const JobStatus& job : window_->engine()->jobs()) {
    if (job.id == held) {
      QCOMPARE(job.state, JobStatus::State::Cancelled);
    }
  }
  QCOMPARE(QString::fromStdString(window_->session()->capture()->header().text), window_->session()->prompt());
}

std::shared_ptr<const Capture> TstResponsiveness::longCapture(std::int64_t tokens, int heads) const {
  test::SyntheticCapture options;
  options.tokens = tokens;
  options.heads = heads;
  options.kvHeads = 1;
  options.dim = 64;
  options.type = FloatType::BF16;
  CaptureBuilder builder(test::syntheticHeader(options), tokens, test::syntheticOptions(options));
  const CaptureBuilder::Target target = builder.target(0);
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  for (std::int64_t i = 0; i < heads * tokens * options.dim; ++i) {
    test::storeFloat(target.q, options.type, static_cast<std::size_t>(i), normal(random));
  }
  for (std::int64_t i = 0; i < tokens * options.dim; ++i) {
    test::storeFloat(target.k, options.type, static_cast<std::size_t>(i), normal(random));
  }
  for (std::int64_t i = 0; i < heads * tokens; ++i) {
    target.lse[i] = std::log(static_cast<float>(i % tokens + 1)) + 0.5f;
  }
  builder.finishLayer(0);
  builder.finish();
  return builder.capture();
}

void TstResponsiveness::openCapture(const std::shared_ptr<const Capture>& capture) {
  Q_EMIT window_->engine()->captureReady(capture, 0, std::numeric_limits<double>::quiet_NaN());
}

// Until the picture is exact, words beside it say what it is; the map is drawn from then on.
void TstResponsiveness::labelsWhatIsNotExact() {
  QStringList words;
  bool sound = true;
  connect(window_->map(), &AttentionMapView::pictureChanged, window_.get(), [&](const QString& text, bool exact) {
    words.append(text);
    sound = sound && !text.isEmpty() && (text == QLatin1String("exact")) == exact;
  });
  openCapture(longCapture(8192, 2));
  QVERIFY(!words.isEmpty());
  QVERIFY2(words.first() != QLatin1String("exact"), qPrintable(words.first()));
  QTRY_VERIFY_WITH_TIMEOUT(window_->map()->exact(), 60000);
  QVERIFY2(sound, qPrintable(words.join(QStringLiteral("; "))));
}

void TstResponsiveness::cancelsScores() {
  QSignalSpy reports(window_->engine(), &Engine::scoresReady);
  openCapture(longCapture(16384, 8));
  const auto scores = [this]() -> std::optional<JobStatus> {
    for (const JobStatus& job : window_->engine()->jobs()) {
      if (job.active() && job.title.contains(QLatin1String("core"))) {
        return job;
      }
    }
    return std::nullopt;
  };
  QTRY_VERIFY_WITH_TIMEOUT(scores().has_value(), 30000);
  const quint64 id = scores()->id;
  window_->engine()->cancel(id);
  const auto state = [this, id] {
    const QVector<JobStatus> jobs = window_->engine()->jobs();
    return std::find_if(jobs.begin(), jobs.end(), [id](const JobStatus& job) { return job.id == id; })->state;
  };
  QTRY_COMPARE_WITH_TIMEOUT(state(), JobStatus::State::Cancelled, 30000);
  for (const QList<QVariant>& report : reports) {
    QVERIFY(!report.at(1).toBool());
  }
  window_->session()->setFlag({0, 3}, true);
  QVERIFY(window_->session()->flagged({0, 3}));
}

// Tiles and thumbnails that nobody looks at any more are given up, not finished: 32,768 tokens would take long.
void TstResponsiveness::leavesALongMapForAnotherCapture() {
  const auto large = longCapture(32768, 4);
  openCapture(large);
  QTRY_VERIFY_WITH_TIMEOUT(window_->map()->tiles().anythingShown(), 30000);
  window_->engine()->cancelAll();
  window_->workspace()->openDemo();
  waitSettled();
  QSignalSpy thumbnails(window_->engine(), &Engine::thumbnailReady);
  window_->engine()->waitIdle();
  QApplication::processEvents();
  for (const QList<QVariant>& thumbnail : thumbnails) {
    QVERIFY(thumbnail.at(0).value<ui::Thumbnail>().capture != large->id());
  }
  checkUsable();
}

void TstResponsiveness::closesWhileAJobIsHeld() {
  const auto gate = gates_.running = std::make_shared<test::Gate>();
  window_->workspace()->run();
  gate->waitForArrival();
  std::jthread opener([gate] { gate->open(); });  // the window asks the job to stop and waits for it
  window_.reset();
}

QTEST_MAIN(TstResponsiveness)
#include "tst_responsiveness.moc"
