// Frame times of the map view over a scripted gesture: ten seconds of zooming and panning at 60 steps a second over a
// synthetic capture, 1600 × 1000 device pixels. A step's time runs from the change of the view to the painted frame;
// the first pass fills the cache, the second is the one with a warm cache. The crosshair's time runs from the mouse
// event to the painted overlay. Beside each time on the clock stands the UI thread's own processor time, which is what
// remains on a machine that others use too.
//
//   QT_QPA_PLATFORM=offscreen bench_frames [TOKENS]

#include <qcustomplot.h>
#include <time.h>
#include <QApplication>
#include <QElapsedTimer>
#include <QMouseEvent>
#include <QtTest>
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "tests/support/large_capture.h"
#include "ui/map/attention_map_view.h"
#include "ui/style/theme.h"

using namespace headscope;
using namespace headscope::ui;

namespace {

constexpr int kSteps = 600;
constexpr double kStepMs = 1000.0 / 60;

std::shared_ptr<const Capture> capture(std::int64_t tokens) {
  test::SyntheticCapture options;
  options.tokens = tokens;
  options.layers = options.heads = options.kvHeads = 1;
  options.dim = 64;
  options.scale = 0.125;
  return test::makeLargeCapture(options);
}

// Out of the whole map into a few hundred tokens and back, wandering along the diagonal all the while.
MapViewport viewAt(int step, double tokens) {
  const double phase = static_cast<double>(step) / kSteps;
  const double depth = 0.5 - 0.5 * std::cos(2 * M_PI * phase);
  const double span = tokens * std::pow(400 / tokens, depth);
  const double centre = span / 2 + (tokens - span) * (0.5 + 0.35 * std::sin(4 * M_PI * phase));
  return {centre - span / 2, centre + span / 2, centre - span / 2, centre + span / 2};
}

struct Times {
  std::vector<double> clock, processor;  ///< ms
};

double processorMs() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) * 1e-6;
}

template <typename Step>
void measure(Times& times, const Step& step) {
  QElapsedTimer clock;
  clock.start();
  const double start = processorMs();
  step();
  times.processor.push_back(processorMs() - start);
  times.clock.push_back(static_cast<double>(clock.nsecsElapsed()) / 1e6);
}

double percentile(std::vector<double> times, double share) {
  std::sort(times.begin(), times.end());
  return times[static_cast<std::size_t>(share * static_cast<double>(times.size() - 1))];
}

void print(const char* what, const Times& times, double bound) {
  const auto within = std::count_if(times.clock.begin(), times.clock.end(), [=](double ms) { return ms <= bound; });
  std::printf("%-34s %8.2f %8.2f %8.2f %8.2f %8.0f %9.1f %% %8.2f %8.2f\n", what, percentile(times.clock, 0.5),
              percentile(times.clock, 0.95), percentile(times.clock, 0.99), percentile(times.clock, 1), bound,
              100.0 * static_cast<double>(within) / static_cast<double>(times.clock.size()),
              percentile(times.processor, 0.5), percentile(times.processor, 0.95));
  std::fflush(stdout);
}

Times gesture(AttentionMapView& view, double tokens) {
  Times times;
  int frames = 0;
  const auto counting = QObject::connect(&view, &AttentionMapView::frameDrawn, [&frames] { ++frames; });
  for (int step = 1; step < kSteps; ++step) {
    const int before = frames;
    measure(times, [&] {
      view.zoomTo(viewAt(step, tokens));
      while (frames == before) {
        QApplication::processEvents();
      }
    });
    const double left = kStepMs - times.clock.back();
    if (left > 1) {
      QTest::qWait(static_cast<int>(left));
    }
  }
  QObject::disconnect(counting);
  return times;
}

Times crosshair(AttentionMapView& view) {
  Times times;
  for (int i = 0; i < 300; ++i) {
    measure(times, [&] {
      QTest::mouseMove(view.plot(), QPoint(200 + 2 * i, 250 + i));
      QApplication::processEvents();
    });
    QTest::qWait(4);
  }
  return times;
}

// The rival: QCustomPlot's own colour map, 4096 × 4096 cells (as many as its doubles allow in a reasonable memory), the
// query axis reversed as an attention map wants it, panned by a few cells a frame.
Times colorMap() {
  constexpr int kCells = 4096;
  QCustomPlot plot;
  plot.resize(1600, 1000);
  plot.show();
  auto* map = new QCPColorMap(plot.xAxis, plot.yAxis);
  map->data()->setSize(kCells, kCells);
  map->data()->setRange({0, kCells - 1.0}, {0, kCells - 1.0});
  for (int y = 0; y < kCells; ++y) {
    for (int x = 0; x <= y; ++x) {
      map->data()->setCell(x, y, ((x * 31 + y * 17) % 1000) / 1000.0);
    }
  }
  map->setGradient(QCPColorGradient::gpThermal);
  map->rescaleDataRange();
  plot.yAxis->setRangeReversed(true);
  plot.replot(QCustomPlot::rpImmediateRefresh);
  Times times;
  for (int i = 0; i < 60; ++i) {
    measure(times, [&] {
      plot.xAxis->setRange(i, 2048 + i);
      plot.yAxis->setRange(i, 2048 + i);
      plot.replot(QCustomPlot::rpImmediateRefresh);
    });
  }
  return times;
}

}  // namespace

int main(int argc, char** argv) {
  QApplication application(argc, argv);
  Appearance::instance().apply(ThemeKind::Dark);
  const std::int64_t tokens = argc > 1 ? std::atoll(argv[1]) : 131072;
  Session session;
  Engine engine;
  AttentionMapView view(&engine, &session);
  view.resize(1600, 1000);
  view.show();
  session.setCapture(capture(tokens));
  QTest::qWait(3000);
  std::printf("map of %lld tokens, d 64, 1600 x 1000 device pixels; milliseconds a frame\n",
              static_cast<long long>(tokens));
  std::printf("%-34s %8s %8s %8s %8s %8s %11s %8s %8s\n", "", "50 %", "95 %", "99 %", "largest", "bound", "within",
              "UI 50 %", "UI 95 %");
  print("pan and zoom, first time", gesture(view, static_cast<double>(tokens)), 16);
  print("pan and zoom, warm cache", gesture(view, static_cast<double>(tokens)), 16);
  print("QCPColorMap, 4,096 cells, pan", colorMap(), 16);
  view.fit();
  QTest::qWait(300);
  print("crosshair over the whole map", crosshair(view), 2);
  const double middle = static_cast<double>(tokens) / 2;
  view.zoomTo({middle - 40000, middle + 40000, middle - 40000, middle + 40000});
  QTest::qWait(500);
  print(qPrintable(QStringLiteral("crosshair at level %1").arg(view.level())), crosshair(view), 2);
  view.zoomTo({middle - 200, middle + 200, middle - 200, middle + 200});
  QTest::qWait(300);
  print(qPrintable(QStringLiteral("crosshair at level %1").arg(view.level())), crosshair(view), 2);
  return 0;
}
