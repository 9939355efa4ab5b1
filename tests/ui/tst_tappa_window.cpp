// TAPPA in the window: gallery, the paper's experiments, thresholds, needle prompts, interventions on the map.

#include <QApplication>
#include <QDoubleSpinBox>
#include <QLabel>
#include <QLineEdit>
#include <QSettings>
#include <QSlider>
#include <QTableWidget>
#include <QTemporaryDir>
#include <QToolButton>
#include <QtTest>

#include "core/analysis/constructed_heads.h"
#include "core/analysis/needle_prompt.h"
#include "core/maps/head_view.h"
#include "core/model/model.h"
#include "core/tokenizer/tokenizer.h"
#include "tests/support/own_settings.h"
#include "ui/head/figure_rows.h"
#include "ui/head/head_header.h"
#include "ui/head/head_panel.h"
#include "ui/head/interventions_panel.h"
#include "ui/head/replay_panel.h"
#include "ui/head/threshold_panel.h"
#include "ui/heads/heads_panel.h"
#include "ui/map/attention_map_view.h"
#include "ui/style/theme.h"
#include "ui/window/main_window.h"
#include "ui/window/resource_folder.h"

using namespace headscope;
using namespace headscope::ui;

class TstTappaWindow : public QObject {
  Q_OBJECT

 private slots:
  void initTestCase();
  void init();
  void cleanup();

  void classifiesTheGallery();
  void replaysOnTheConstructedHead();
  void stepsThroughTheExperimentsByKey();
  void replayFollowsTheHeadInView();
  void movesThresholds();
  void remembersThresholds();
  void showsEveryScoreInOnePlace();
  void scoresNeedlePrompts();
  void refusesNeedlesWithoutAModel();
  void interventionsUpdateTheVisibleArea();

 private:
  void waitSettled() { QTRY_VERIFY_WITH_TIMEOUT(window_->settled(), 60000); }
  void openGallery() {
    QTest::keyClick(window_.get(), Qt::Key_G, Qt::ControlModifier | Qt::ShiftModifier);
    waitSettled();
  }
  void openDemo() {
    window_->workspace()->openDemo();
    waitSettled();
  }
  std::shared_ptr<const Replay> replay() {
    [this] { QTRY_VERIFY_WITH_TIMEOUT(window_->head()->replay()->replay() != nullptr, 20000); }();
    return window_->head()->replay()->replay();
  }

  QTemporaryDir folder_;
  std::unique_ptr<MainWindow> window_;
};

void TstTappaWindow::initTestCase() {
  QVERIFY(folder_.isValid());
  test::keepSettingsIn(folder_.path());
  Appearance::instance().apply(ThemeKind::Dark);
}

void TstTappaWindow::init() {
  QSettings().clear();
  window_ = std::make_unique<MainWindow>(folder_.filePath(QStringLiteral("journal")));
  window_->resize(1600, 1000);
  window_->show();
  QVERIFY(QTest::qWaitForWindowExposed(window_.get()));
}

void TstTappaWindow::cleanup() {
  window_.reset();
}

void TstTappaWindow::classifiesTheGallery() {
  openGallery();
  Session* session = window_->session();
  QCOMPARE(session->layers(), 1);
  QCOMPARE(session->heads(), static_cast<int>(kCaseCount));
  QCOMPARE(session->selected(), (HeadId{0, 0}));
  for (int head = 0; head < session->heads(); ++head) {
    const auto kind = static_cast<Case>(head);
    const HeadReport* report = window_->heads()->scores().find({0, head});
    QVERIFY(report != nullptr);
    QCOMPARE(report->cases.label, kind);
    session->select({0, head});
    waitSettled();
    const HeadHeader* card = window_->head()->header();
    QTRY_VERIFY2(card->caseWords().startsWith(caseName(kind)), qPrintable(card->caseWords()));
    QVERIFY2(card->about().contains(QString::fromUtf8(constructedFrom(kind).data())), qPrintable(card->about()));
    const std::vector<FigureRow>& rows = window_->head()->caseRows()->rows();
    QCOMPARE(rows.size(), kCaseCount);
    for (std::size_t row = 0; row < rows.size(); ++row) {
      QCOMPARE(rows[row].strong, row == static_cast<std::size_t>(head));
    }
  }
}

void TstTappaWindow::replaysOnTheConstructedHead() {
  openGallery();
  window_->session()->select({0, static_cast<int>(Case::PeriodicSequential)});
  waitSettled();
  const auto readings = replay()->readings;
  QVERIFY(readings.size() >= 4);  // as captured, two moves or three, base
  QVERIFY(readings.front().verdict == PeriodVerdict::Shown);
  QVERIFY(replay()->shows(Experiment::MoveChannel));
  QVERIFY(replay()->shows(Experiment::LowerBase));
  const QTableWidget* table = window_->head()->replay()->table();
  QCOMPARE(table->rowCount(), static_cast<int>(readings.size()));
  // A click on each line: the session changes, and the panel's own measurement agrees with the table's.
  for (std::size_t row = 0; row < readings.size(); ++row) {
    const QRect cell = table->visualItemRect(table->item(static_cast<int>(row), 0));
    QTest::mouseClick(table->viewport(), Qt::LeftButton, {}, cell.center());
    QCOMPARE(window_->session()->interventions(), readings[row].interventions);
    waitSettled();
    QTRY_COMPARE(window_->head()->detail()->interventions, readings[row].interventions);
    const RopeLens& lens = window_->head()->detail()->lens;
    QCOMPARE(lens.spectrum.predictedPeriod, readings[row].predictedPeriod);
    QCOMPARE(lens.measuredPeriod.has_value(), readings[row].measuredPeriod.has_value());
    if (lens.measuredPeriod) {
      QCOMPARE(lens.measuredPeriod->tokens, readings[row].measuredPeriod->tokens);
    }
    QCOMPARE(table->currentRow(), static_cast<int>(row));
  }
  // The base moves the period as T = 2π c^(2m/r) says.
  for (const ExperimentReading& reading : readings) {
    if (reading.experiment == Experiment::LowerBase) {
      QVERIFY(reading.measuredPeriod->tokens < readings.front().measuredPeriod->tokens);
    }
  }
}

void TstTappaWindow::stepsThroughTheExperimentsByKey() {
  openGallery();
  window_->session()->select({0, static_cast<int>(Case::PeriodicSequential)});
  waitSettled();
  const auto moves = static_cast<int>(
      std::count_if(replay()->readings.begin(), replay()->readings.end(),
                    [](const ExperimentReading& reading) { return reading.experiment == Experiment::MoveChannel; }));
  for (int press = 0; press < moves; ++press) {
    QTest::keyClick(window_.get(), Qt::Key_M);
    QCOMPARE(window_->session()->interventions().moveChannels.size(), std::size_t{1});
  }
  QTest::keyClick(window_.get(), Qt::Key_M);  // behind the last one: as captured
  QVERIFY(!window_->session()->interventions().any());
  QTest::keyClick(window_.get(), Qt::Key_B);
  QVERIFY(window_->session()->interventions().ropeBase.has_value());
  QTest::keyClick(window_.get(), Qt::Key_B);  // and after the move
  QVERIFY(window_->session()->interventions().ropeBase.has_value());
  QCOMPARE(window_->session()->interventions().moveChannels.size(), std::size_t{1});
  QTest::keyClick(window_.get(), Qt::Key_B);
  QVERIFY(!window_->session()->interventions().any());
}

void TstTappaWindow::replayFollowsTheHeadInView() {
  openDemo();
  for (const HeadId head : {HeadId{0, 0}, HeadId{3, 6}, HeadId{5, 1}}) {
    window_->session()->select(head);
    const auto shown = replay();
    QCOMPARE(shown->layer, head.layer);
    QCOMPARE(shown->head, head.head);
    QVERIFY(!window_->head()->replay()->verdict().isEmpty());
  }
}

void TstTappaWindow::movesThresholds() {
  openDemo();
  Session* session = window_->session();
  const auto count = [this](Case kind) {
    int heads = 0;
    for (const HeadReport* head : window_->heads()->scores().heads()) {
      heads += head->cases.label == kind ? 1 : 0;
    }
    return heads;
  };
  const int before = count(Case::Unpredictable);
  QVERIFY(before < static_cast<int>(window_->heads()->scores().size()));
  window_->head()->thresholdButton()->click();
  ThresholdPanel* panel = window_->head()->thresholds();
  QVERIFY(panel->isVisible());
  const auto detail = window_->head()->detail();
  panel->field(0)->setValue(1.0);
  QCOMPARE(count(Case::Unpredictable), static_cast<int>(window_->heads()->scores().size()));
  QVERIFY2(panel->countWords().contains(QStringLiteral("%1 unpredictable").arg(count(Case::Unpredictable))),
           qPrintable(panel->countWords()));
  QVERIFY(window_->head()->header()->caseWords().startsWith(caseName(Case::Unpredictable)));
  QCOMPARE(window_->head()->detail(), detail);  // nothing was computed again
  // The filter goes by the label.
  window_->heads()->filterField()->setText(QStringLiteral("unpredictable"));
  QCOMPARE(window_->heads()->wall()->shownHeads(), session->layers() * session->heads());
  panel->field(0)->setValue(0.0);
  QCOMPARE(window_->heads()->wall()->shownHeads(), 0);
  window_->heads()->filterField()->clear();
  // Every head's label is what the core says of its evidence.
  CaseThresholds moved;
  moved.predictable = 0.35;
  moved.periodStrength = 0.4;
  moved.echo = 0.1;
  session->setCaseThresholds(moved);
  QCOMPARE(panel->field(1)->value(), 0.4);
  for (const HeadReport* head : window_->heads()->scores().heads()) {
    const CaseScores scores = caseScores(head->cases.evidence, moved);
    QCOMPARE(head->cases.scores, scores);
    QCOMPARE(head->cases.label, caseFrom(scores, moved));
  }
  panel->reset();
  QCOMPARE(count(Case::Unpredictable), before);
}

void TstTappaWindow::remembersThresholds() {
  window_->head()->thresholds()->field(2)->setValue(0.15);
  window_.reset();
  window_ = std::make_unique<MainWindow>(folder_.filePath(QStringLiteral("journal")));
  CaseThresholds wanted;
  wanted.echo = 0.15;
  QCOMPARE(window_->session()->caseThresholds(), wanted);
  QVERIFY(window_->head()->thresholds()->moved());
  window_->head()->thresholds()->reset();
  QCOMPARE(window_->session()->caseThresholds(), CaseThresholds{});
}

// Issue 6.2: "entropy, sink mass, previous-token, duplicate, induction, local mass, mean distance, retrieval score on a
// needle prompt, vertical-slash recall. One head card shows all of them."
void TstTappaWindow::showsEveryScoreInOnePlace() {
  openDemo();
  window_->head()->allScoresButton()->setChecked(true);
  QStringList names;
  for (const FigureRow& row : window_->head()->scoreRows()->rows()) {
    names.append(row.topic);
  }
  for (const char* wanted :
       {"q_similarity_consecutive", "q_similarity_consecutive_rope", "q_similarity_kv", "q_similarity_prune",
        "k_similarity_consecutive", "entropy", "sink_mass", "previous_token", "duplicate_token", "induction",
        "local_mass", "mean_distance", "vertical_slash_recall", "retrieval", "retrieval_mass", "needle_retrieval"}) {
    QVERIFY2(names.contains(QLatin1String(wanted)), wanted);
  }
  // The tightness of each statement can be sorted, coloured and filtered by.
  const HeadId head = window_->session()->selected();
  for (const Extra extra :
       {Extra::Proposition41, Extra::Theorem51, Extra::Theorem52, Extra::Theorem53, Extra::Theorem54}) {
    const double tightness = window_->heads()->scores().value(head, metricOf(extra));
    QVERIFY(std::isnan(tightness) || (tightness > 0 && tightness <= 1 + 1e-9));
  }
  QVERIFY(!std::isnan(window_->heads()->scores().value(head, metricOf(Extra::Theorem51))));
}

void TstTappaWindow::scoresNeedlePrompts() {
  openDemo();
  const auto capture = window_->session()->capture();
  const auto value = [this](HeadId head) {
    return window_->heads()->scores().value(head, metricOf(Extra::NeedleRetrieval));
  };
  QVERIFY(std::isnan(value({0, 0})));
  QSignalSpy scored(window_->workspace(), &Workspace::retrievalScored);
  QTest::keyClick(window_.get(), Qt::Key_R, Qt::ControlModifier);
  QTRY_VERIFY_WITH_TIMEOUT(!scored.isEmpty(), 120000);
  QCOMPARE(window_->session()->capture(), capture);  // the run in view stays
  // The same prompts through the core alone.
  const auto path = resourcePath(QStringLiteral("demo/headscope-demo")).toStdString();
  const auto model = Model::open(path);
  const auto tokenizer = Tokenizer::openIfPresent(path);
  NeedleScores expected;
  for (const NeedlePrompt& prompt :
       needlePrompts(readTextFile(resourcePath(QStringLiteral("demo/haystack.txt"))).toStdString())) {
    const std::vector<std::int64_t> ids = tokenizer->encode(prompt.text, Bos::Auto, false).ids;
    RunOptions options;
    options.loss = false;
    expected.add(*model->run(ids, options).capture);
  }
  double best = 0;
  for (int layer = 0; layer < 6; ++layer) {
    for (int head = 0; head < 8; ++head) {
      QCOMPARE(value({layer, head}), *expected.copied(layer, head));
      best = std::max(best, value({layer, head}));
    }
  }
  QVERIFY(best > 0);
  // A later report keeps them.
  window_->session()->setReport(std::make_shared<const Report>(analyzeCapture(*capture)));
  QVERIFY(!std::isnan(value({0, 0})));
}

void TstTappaWindow::refusesNeedlesWithoutAModel() {
  openGallery();
  QSignalSpy messages(window_->workspace(), &Workspace::message);
  QTest::keyClick(window_.get(), Qt::Key_R, Qt::ControlModifier);
  QCOMPARE(messages.size(), 1);
}

// The slider, by keyboard: the map's visible part becomes exact for the changed head, with the core's values in it.
void TstTappaWindow::interventionsUpdateTheVisibleArea() {
  openDemo();
  AttentionMapView* map = window_->map();
  Session* session = window_->session();
  const HeadId head = session->selected();
  map->zoomTo({10, 40, 20, 50});
  QTRY_VERIFY_WITH_TIMEOUT(map->exact(), 20000);
  const QImage before = map->image(1);
  QSlider* slider = window_->head()->interventions()->baseSlider();
  QSignalSpy changed(session, &Session::interventionsChanged);
  slider->setFocus();
  for (int press = 0; press < 2; ++press) {
    QTest::keyClick(slider, Qt::Key_PageDown);
    QVERIFY(changed.count() > 0 || changed.wait(5000));
  }
  QTRY_VERIFY(session->interventions().ropeBase.has_value());
  QTRY_VERIFY_WITH_TIMEOUT(map->exact() && map->image(1) != before, 20000);
  QTRY_VERIFY(window_->head()->detail() && window_->head()->detail()->interventions == session->interventions());
  const auto view = makeHeadView(*session->capture(), head.layer, head.head, session->interventions());
  session->setCursor(Cursor{45, 20});
  QTRY_VERIFY(map->readout() && map->readout()->probability.has_value());
  QVERIFY(std::abs(*map->readout()->probability - double(view->probability(45, 20))) < 1e-6);
}

QTEST_MAIN(TstTappaWindow)
#include "tst_tappa_window.moc"
