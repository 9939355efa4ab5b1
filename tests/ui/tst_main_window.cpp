// The whole window offscreen, on the demo model, with real keys and mouse.

#include <qcustomplot.h>
#include <QAction>
#include <QApplication>
#include <QDialog>
#include <QFile>
#include <QFileDialog>
#include <QLineEdit>
#include <QPushButton>
#include <QTemporaryDir>
#include <QtTest>

#include "tests/support/own_settings.h"
#include "ui/flags/mask_exchange.h"
#include "ui/head/head_panel.h"
#include "ui/heads/heads_panel.h"
#include "ui/help/help_pane.h"
#include "ui/map/attention_map_view.h"
#include "ui/style/theme.h"
#include "ui/window/actions.h"
#include "ui/window/main_window.h"
#include "ui/window/message_bar.h"
#include "ui/window/resource_folder.h"
#include "ui/window/top_bar.h"

using namespace headscope;
using namespace headscope::ui;

class TstMainWindow : public QObject {
  Q_OBJECT

 private slots:
  void initTestCase();
  void init();
  void cleanup();

  void opensOnTheDemo();
  void startsEmptyAndTeaches();
  void walksTheWallWithArrows();
  void flagsWithSpaceAndUndoes();
  void stepsThroughFlags();
  void filtersAsTyped();
  void exportsAndImportsFlags_data();
  void exportsAndImportsFlags();
  void keepsFlagsInASession();
  void namesADamagedFileAndKeepsAll_data();
  void namesADamagedFileAndKeepsAll();
  void readsTheCellUnderTheMouse();
  void zoomsAtTheCursor();
  void pansByDragging();
  void showsValuesThatTheCoreComputes();
  void changesTheMapByAnIntervention();
  void runsFromTheCommandField();
  void triggersEveryAction();
  void switchesThemes();
  void diesWhileRunning();
  void documentsEveryKey();

 private:
  void waitSettled() { QTRY_VERIFY_WITH_TIMEOUT(window_->settled(), 60000); }
  QPoint cellCentre(std::int64_t query, std::int64_t key) const;

  QTemporaryDir folder_;
  std::unique_ptr<MainWindow> window_;
};

void TstMainWindow::initTestCase() {
  QVERIFY(folder_.isValid());
  test::keepSettingsIn(folder_.path());
  Appearance::instance().apply(ThemeKind::Dark);
}

void TstMainWindow::init() {
  window_ = std::make_unique<MainWindow>(folder_.filePath(QStringLiteral("journal")));
  window_->resize(1600, 1000);
  window_->show();
  QVERIFY(QTest::qWaitForWindowExposed(window_.get()));
  if (qstrcmp(QTest::currentTestFunction(), "startsEmptyAndTeaches") != 0) {
    window_->workspace()->openDemo();
    waitSettled();
  }
}

void TstMainWindow::cleanup() {
  window_.reset();
}

QPoint TstMainWindow::cellCentre(std::int64_t query, std::int64_t key) const {
  const QCustomPlot* plot = window_->map()->plot();
  const QCPAxisRect* rect = nullptr;
  for (const QCPAxisRect* candidate : plot->axisRects()) {
    if (rect == nullptr || candidate->width() * candidate->height() > rect->width() * rect->height()) {
      rect = candidate;
    }
  }
  return {qRound(rect->axis(QCPAxis::atBottom)->coordToPixel(double(key))),
          qRound(rect->axis(QCPAxis::atLeft)->coordToPixel(double(query)))};
}

void TstMainWindow::opensOnTheDemo() {
  const auto capture = window_->session()->capture();
  QVERIFY(capture != nullptr);
  QCOMPARE(capture->header().layers, 6);
  QCOMPARE(capture->header().heads, 8);
  QCOMPARE(capture->header().kvHeads, 4);
  QCOMPARE(window_->session()->selected(), (HeadId{5, 5}));
  QCOMPARE(window_->map()->pictureWords(), QStringLiteral("exact"));
  QVERIFY(window_->messages()->text().isEmpty() || !window_->messages()->isVisible());
}

void TstMainWindow::startsEmptyAndTeaches() {
  QVERIFY(window_->session()->capture() == nullptr);
  QVERIFY(!window_->map()->isVisible());
  window_->activateWindow();
  QTest::keyClick(window_.get(), Qt::Key_Space);  // nothing to flag, nothing breaks
  QTest::keyClick(window_.get(), Qt::Key_Right);
  QVERIFY(window_->session()->flags().empty());
}

void TstMainWindow::walksTheWallWithArrows() {
  window_->session()->select({2, 3});
  HeadsWall* wall = window_->heads()->wall();
  wall->setFocus();
  QTest::keyClick(wall, Qt::Key_Right);
  QCOMPARE(window_->session()->selected(), (HeadId{2, 4}));
  QTest::keyClick(wall, Qt::Key_Down);
  QCOMPARE(window_->session()->selected(), (HeadId{3, 4}));
  QTest::keyClick(wall, Qt::Key_Left);
  QTest::keyClick(wall, Qt::Key_Up);
  QCOMPARE(window_->session()->selected(), (HeadId{2, 3}));
  // Where the map has the keyboard, arrows walk the wall, too.
  QTest::keyClick(window_->map(), Qt::Key_Right);
  QCOMPARE(window_->session()->selected(), (HeadId{2, 4}));
  const QRect cell = wall->cellOnScreen({4, 6});
  QTest::mouseClick(wall->viewport(), Qt::LeftButton, {}, cell.center());
  QCOMPARE(window_->session()->selected(), (HeadId{4, 6}));
}

void TstMainWindow::flagsWithSpaceAndUndoes() {
  Session* session = window_->session();
  session->select({1, 2});
  HeadsWall* wall = window_->heads()->wall();
  QTest::keyClick(wall, Qt::Key_Space);
  QVERIFY(session->flagged({1, 2}));
  QTest::keyClick(wall, Qt::Key_Right);
  QTest::keyClick(wall, Qt::Key_Space);
  QCOMPARE(session->flags().size(), std::size_t{2});
  QTest::keyClick(window_.get(), Qt::Key_Z, Qt::ControlModifier);
  QVERIFY(!session->flagged({1, 3}));
  QTest::keyClick(window_.get(), Qt::Key_Z, Qt::ControlModifier | Qt::ShiftModifier);
  QVERIFY(session->flagged({1, 3}));
  QVERIFY2(kvGroupWords(*session).contains(QStringLiteral("kv 1")), qPrintable(kvGroupWords(*session)));
}

void TstMainWindow::stepsThroughFlags() {
  Session* session = window_->session();
  session->setFlag({0, 1}, true);
  session->setFlag({3, 2}, true);
  session->select({1, 0});
  QTest::keyClick(window_.get(), Qt::Key_BracketRight);
  QCOMPARE(session->selected(), (HeadId{3, 2}));
  QTest::keyClick(window_.get(), Qt::Key_BracketRight);
  QCOMPARE(session->selected(), (HeadId{0, 1}));
  QTest::keyClick(window_.get(), Qt::Key_BracketLeft);
  QCOMPARE(session->selected(), (HeadId{3, 2}));
}

void TstMainWindow::filtersAsTyped() {
  QTest::keyClick(window_.get(), Qt::Key_Slash);
  QLineEdit* filter = window_->heads()->filterField();
  QTest::keyClicks(filter, QStringLiteral("L3"));
  QCOMPARE(window_->heads()->wall()->shownHeads(), 8);
  QTest::keyClicks(filter, QStringLiteral(" sink>2"));
  QCOMPARE(window_->heads()->wall()->shownHeads(), 0);
  filter->clear();
  QCOMPARE(window_->heads()->wall()->shownHeads(), 48);
}

void TstMainWindow::exportsAndImportsFlags_data() {
  QTest::addColumn<int>("format");
  for (int format = 0; format < static_cast<int>(maskFormats().size()); ++format) {
    QTest::newRow(qPrintable(maskFormats()[std::size_t(format)].name)) << format;
  }
}

void TstMainWindow::exportsAndImportsFlags() {
  QFETCH(int, format);
  const MaskFormat& kind = maskFormats()[std::size_t(format)];
  Session* session = window_->session();
  session->setFlag({0, 0}, true);
  session->setFlag({5, 7}, true);
  session->setFlag({2, 4}, true);
  const HeadMask before = session->mask();
  const QString file = folder_.filePath(QStringLiteral("mask.") + kind.ending);
  MaskExport wanted;
  wanted.kind = kind.kind;
  exportFlags(*session, window_->heads()->scores(), wanted, file);
  session->replaceFlags({}, QStringLiteral("clear"));
  window_->workspace()->importMask(file);
  QCOMPARE(session->mask() == before, true);
  session->undoStack()->undo();
  QVERIFY(session->flags().empty());
}

void TstMainWindow::keepsFlagsInASession() {
  Session* session = window_->session();
  session->setFlag({4, 3}, true);
  session->setNote({4, 3}, QStringLiteral("previous token"));
  const QString file = folder_.filePath(QStringLiteral("session.json"));
  QVERIFY(window_->workspace()->saveSession(file));
  session->replaceFlags({}, QStringLiteral("clear"));
  window_->workspace()->openSession(file);
  waitSettled();
  QVERIFY(session->flagged({4, 3}));
  QCOMPARE(session->note({4, 3}), QStringLiteral("previous token"));
}

void TstMainWindow::namesADamagedFileAndKeepsAll_data() {
  QTest::addColumn<QString>("name");
  QTest::addColumn<QByteArray>("content");
  QTest::newRow("session cut short") << QStringLiteral("cut.json") << QByteArray("{\"headscope_session\": 1, \"fl");
  QTest::newRow("foreign JSON") << QStringLiteral("foreign.json") << QByteArray("{\"a\": 1}");
  QTest::newRow("capture of 7 bytes") << QStringLiteral("short.safetensors") << QByteArray("1234567");
  QTest::newRow("GGUF of 4 bytes") << QStringLiteral("short.gguf") << QByteArray("GGUF");
}

void TstMainWindow::namesADamagedFileAndKeepsAll() {
  QFETCH(QString, name);
  QFETCH(QByteArray, content);
  const QString path = folder_.filePath(name);
  QFile file(path);
  QVERIFY(file.open(QIODevice::WriteOnly) && file.write(content) == content.size());
  file.close();
  Session* session = window_->session();
  session->setFlag({1, 1}, true);
  QSignalSpy messages(window_->workspace(), &Workspace::message);
  window_->workspace()->open(path);
  QTRY_VERIFY_WITH_TIMEOUT(!messages.isEmpty(), 20000);
  const BarMessage message = messages.first().at(1).value<BarMessage>();
  QVERIFY2(message.text.contains(name), qPrintable(message.text));
  QVERIFY(!message.text.contains(QLatin1Char('\n')));
  QVERIFY(session->flagged({1, 1}));
  QVERIFY(session->capture() != nullptr);
}

void TstMainWindow::readsTheCellUnderTheMouse() {
  QCustomPlot* plot = window_->map()->plot();
  QTest::mouseMove(plot, cellCentre(40, 12));
  QTRY_VERIFY(window_->session()->cursor().has_value());
  QCOMPARE(*window_->session()->cursor(), (Cursor{40, 12}));
  QTRY_VERIFY(window_->map()->readout() && window_->map()->readout()->probability.has_value());
  QCOMPARE(window_->map()->readout()->distance, std::int64_t{28});
  QTest::mouseClick(plot, Qt::LeftButton, {}, cellCentre(40, 12));
  QTRY_VERIFY(window_->session()->pinned().has_value());
  QCOMPARE(*window_->session()->pinned(), (Cursor{40, 12}));
}

void TstMainWindow::zoomsAtTheCursor() {
  QCustomPlot* plot = window_->map()->plot();
  const MapViewport before = window_->session()->viewport();
  const QPoint at = cellCentre(30, 10);
  QWheelEvent wheel(at, plot->mapToGlobal(at), {}, {0, 240}, Qt::NoButton, Qt::NoModifier, Qt::NoScrollPhase, false);
  QApplication::sendEvent(plot, &wheel);
  const MapViewport after = window_->session()->viewport();
  QVERIFY(after.keyHigh - after.keyLow < before.keyHigh - before.keyLow);
  QTRY_VERIFY((cellCentre(30, 10) - at).manhattanLength() <= 4);
  QTest::keyClick(window_.get(), Qt::Key_0);
  QCOMPARE(window_->session()->viewport(), before);
}

void TstMainWindow::pansByDragging() {
  window_->map()->zoomTo({10, 30, 20, 40});
  const MapViewport before = window_->session()->viewport();
  QCustomPlot* plot = window_->map()->plot();
  const QPoint from = cellCentre(30, 20);
  QTest::mousePress(plot, Qt::LeftButton, {}, from);
  QTest::mouseMove(plot, from + QPoint(-30, -30));
  QTest::mouseMove(plot, from + QPoint(-60, -60));
  QTest::mouseRelease(plot, Qt::LeftButton, {}, from + QPoint(-60, -60));
  const MapViewport after = window_->session()->viewport();
  QVERIFY(after.keyLow > before.keyLow);
  QVERIFY(after.queryLow > before.queryLow);
  QVERIFY(!window_->session()->pinned().has_value());
  QTest::keyClick(window_.get(), Qt::Key_Left, Qt::AltModifier);
  QTRY_VERIFY(window_->session()->viewport() != after);
}

void TstMainWindow::showsValuesThatTheCoreComputes() {
  const HeadId head = window_->session()->selected();
  const auto view = makeHeadView(*window_->session()->capture(), head.layer, head.head);
  QTest::mouseMove(window_->map()->plot(), cellCentre(50, 20));
  QTRY_VERIFY(window_->map()->readout() && window_->map()->readout()->probability.has_value());
  QVERIFY(std::abs(*window_->map()->readout()->probability - double(view->probability(50, 20))) < 1e-6);
  QVERIFY(std::abs(*window_->map()->readout()->logit - double(view->logit(50, 20))) < 1e-5);
}

void TstMainWindow::changesTheMapByAnIntervention() {
  const QImage original = window_->map()->image(1);
  Interventions interventions;
  interventions.ropeBase = 100.0;
  window_->session()->setInterventions(interventions);
  QTRY_VERIFY_WITH_TIMEOUT(window_->map()->exact() && window_->map()->image(1) != original, 20000);
  QTest::keyClick(window_.get(), Qt::Key_O);
  QVERIFY(!window_->session()->interventions().any());
}

void TstMainWindow::runsFromTheCommandField() {
  QTest::keyClick(window_.get(), Qt::Key_K, Qt::ControlModifier);
  CommandField* field = window_->topBar()->commandField();
  QTest::keyClicks(field, QStringLiteral("L2H6"));
  QVERIFY(!field->shownTexts().isEmpty());
  QTest::keyClick(field, Qt::Key_Return);
  QCOMPARE(window_->session()->selected(), (HeadId{2, 6}));
}

void TstMainWindow::triggersEveryAction() {
  for (QAction* action : window_->actionList()->all()) {
    if (action->objectName() == QLatin1String("quit")) {
      continue;
    }
    action->trigger();
    QApplication::processEvents();
    for (QWidget* widget : QApplication::topLevelWidgets()) {
      if (auto* dialog = qobject_cast<QDialog*>(widget)) {
        dialog->reject();
      }
    }
  }
  window_->workspace()->openDemo();
  waitSettled();
  QVERIFY(window_->session()->capture() != nullptr);
}

void TstMainWindow::switchesThemes() {
  Appearance::instance().apply(ThemeKind::Dark);
  const QImage dark = window_->grab().toImage();
  QTest::keyClick(window_.get(), Qt::Key_T, Qt::ControlModifier | Qt::ShiftModifier);
  QVERIFY(theme().kind == ThemeKind::Light);
  QTRY_VERIFY(qGray(window_->grab().toImage().pixel(5, 5)) > 150);
  QVERIFY(qGray(dark.pixel(5, 5)) < 100);
}

void TstMainWindow::diesWhileRunning() {
  for (int i = 0; i < 5; ++i) {
    window_->session()->setPrompt(QStringLiteral("The castle key opens the green chest. ").repeated(150));
    window_->workspace()->run();
    QTRY_VERIFY(window_->workspace()->running());
    window_ = std::make_unique<MainWindow>(folder_.filePath(QStringLiteral("journal")));
    window_->workspace()->openDemo();
    waitSettled();
  }
}

void TstMainWindow::documentsEveryKey() {
  const QString page = readTextFile(resourcePath(QStringLiteral("help/keys.md")));
  for (const ActionSpec& spec : actionSpecs()) {
    for (const QString& key : QString::fromLatin1(spec.keys).split(QLatin1Char(' '), Qt::SkipEmptyParts)) {
      QVERIFY2(page.contains(QLatin1Char('`') + key + QLatin1Char('`')), qPrintable(key));
    }
  }
}

QTEST_MAIN(TstMainWindow)
#include "tst_main_window.moc"
