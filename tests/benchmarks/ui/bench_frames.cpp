// Frame times of the map view over a scripted gesture: ten seconds of zooming and panning at 60 steps a second over a
// synthetic capture, 1600 × 1000 device pixels. A step's time runs from the change of the view to the finished frame on
// the UI thread; the first pass fills the cache, the second is the one with a warm cache.
//
//   QT_QPA_PLATFORM=offscreen bench_frames [TOKENS]

#include <qcustomplot.h>
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

double percentile(std::vector<double> times, double share) {
  std::sort(times.begin(), times.end());
  return times[static_cast<std::size_t>(share * static_cast<double>(times.size() - 1))];
}

void print(const char* what, const std::vector<double>& times) {
  const auto within = std::count_if(times.begin(), times.end(), [](double ms) { return ms <= 16; });
  std::printf("%-34s %8.2f %8.2f %8.2f %8.2f %9.1f %%\n", what, percentile(times, 0.5), percentile(times, 0.95),
              percentile(times, 0.99), percentile(times, 1),
              100.0 * static_cast<double>(within) / double(times.size()));
}

std::vector<double> gesture(AttentionMapView& view, double tokens) {
  std::vector<double> times;
  QElapsedTimer clock;
  for (int step = 0; step < kSteps; ++step) {
    clock.start();
    view.zoomTo(viewAt(step, tokens));
    QApplication::processEvents();
    view.plot()->replot(QCustomPlot::rpImmediateRefresh);
    times.push_back(static_cast<double>(clock.nsecsElapsed()) / 1e6);
    const double left = kStepMs - times.back();
    if (left > 1) {
      QTest::qWait(static_cast<int>(left));
    }
  }
  return times;
}

std::vector<double> crosshair(AttentionMapView& view) {
  std::vector<double> times;
  QElapsedTimer clock;
  for (int i = 0; i < 200; ++i) {
    clock.start();
    QTest::mouseMove(view.plot(), QPoint(200 + 2 * i, 250 + i));
    QApplication::processEvents();
    times.push_back(static_cast<double>(clock.nsecsElapsed()) / 1e6);
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
  std::printf("%-34s %8s %8s %8s %8s %11s\n", "", "50 %", "95 %", "99 %", "largest", "in 16 ms");
  print("pan and zoom, first time", gesture(view, static_cast<double>(tokens)));
  print("pan and zoom, warm cache", gesture(view, static_cast<double>(tokens)));
  print("crosshair", crosshair(view));
  return 0;
}
