// What follows the mouse is painted over the finished plot: only within the region that it names, and nothing of it
// stays behind.

#include <qcustomplot.h>
#include <QtTest>

#include "tests/support/large_capture.h"
#include "ui/map/attention_map_view.h"
#include "ui/map/map_plot.h"
#include "ui/style/theme.h"

using namespace headscope;
using namespace headscope::ui;

class TstMapOverlay : public QObject {
  Q_OBJECT

 private slots:
  void init();
  void staysInItsRegion_data();
  void staysInItsRegion();
  void movesWithoutAReplot();

 private:
  MapPlot* plot() const { return qobject_cast<MapPlot*>(view_->plot()); }
  QImage picture() const { return plot()->grab().toImage().convertToFormat(QImage::Format_RGB32); }

  Session session_;
  Engine engine_;
  std::unique_ptr<AttentionMapView> view_;
};

void TstMapOverlay::init() {
  Appearance::instance().apply(ThemeKind::Dark);
  view_ = std::make_unique<AttentionMapView>(&engine_, &session_);
  view_->resize(900, 700);
  view_->show();
  QVERIFY(QTest::qWaitForWindowExposed(view_.get()));
  test::SyntheticCapture options;
  options.tokens = 600;
  options.dim = 16;
  session_.setCapture(test::makeLargeCapture(options));
  QTRY_VERIFY(view_->exact());
}

void TstMapOverlay::staysInItsRegion_data() {
  QTest::addColumn<double>("span");
  QTest::addColumn<Cursor>("cursor");
  QTest::addColumn<bool>("pinned");
  QTest::newRow("whole map") << 600.0 << Cursor{400, 200} << false;
  QTest::newRow("whole map, corner") << 600.0 << Cursor{599, 0} << false;
  QTest::newRow("a few tokens") << 12.0 << Cursor{301, 299} << false;
  QTest::newRow("pinned") << 60.0 << Cursor{310, 280} << true;
}

void TstMapOverlay::staysInItsRegion() {
  QFETCH(double, span);
  QFETCH(Cursor, cursor);
  QFETCH(bool, pinned);
  view_->zoomTo({300 - span / 2, 300 + span / 2, 300 - span / 2, 300 + span / 2});
  QTRY_VERIFY(view_->frame().viewport == session_.viewport() && view_->exact());
  session_.setCursor(std::nullopt);
  session_.pin(std::nullopt);
  const QImage without = picture();
  session_.setCursor(cursor);
  if (pinned) {
    session_.pin(Cursor{cursor.query + 5, cursor.key + 5});
  }
  const QImage with = picture();
  const QRegion region = plot()->overlayRegion();
  QVERIFY(with != without);
  for (int y = 0; y < with.height(); ++y) {
    for (int x = 0; x < with.width(); ++x) {
      if (with.pixel(x, y) != without.pixel(x, y) && !region.contains(QPoint(x, y))) {
        QFAIL(qPrintable(QStringLiteral("touched (%1, %2)").arg(x).arg(y)));
      }
    }
  }
  session_.setCursor(std::nullopt);
  session_.pin(std::nullopt);
  QCOMPARE(picture(), without);
}

void TstMapOverlay::movesWithoutAReplot() {
  QApplication::processEvents();
  QSignalSpy frames(view_.get(), &AttentionMapView::frameDrawn);
  QSignalSpy moves(&session_, &Session::cursorChanged);
  for (int i = 0; i < 20; ++i) {
    QTest::mouseMove(plot(), QPoint(200 + 5 * i, 150 + 3 * i));
    QApplication::processEvents();
  }
  QVERIFY(moves.size() >= 15);
  QCOMPARE(frames.size(), 0);
  QVERIFY(!plot()->overlayRegion().isEmpty());
}

QTEST_MAIN(TstMapOverlay)
#include "tst_map_overlay.moc"
