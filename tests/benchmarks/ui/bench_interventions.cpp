// From a step of the RoPE base slider to the exact map of the changed head: the time a user waits for the visible area.
// The slider's own delay (30 ms, so that a drag asks once) is part of it.
//
//   QT_QPA_PLATFORM=offscreen bench_interventions CAPTURE.safetensors [LAYER HEAD]

#include <qcustomplot.h>
#include <QApplication>
#include <QElapsedTimer>
#include <QSlider>
#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "core/base/error.h"
#include "ui/head/interventions_panel.h"
#include "ui/map/attention_map_view.h"
#include "ui/style/theme.h"

using namespace headscope;
using namespace headscope::ui;

namespace {

constexpr int kSteps = 40;

double percentile(std::vector<double> times, double share) {
  std::sort(times.begin(), times.end());
  return times[static_cast<std::size_t>(share * static_cast<double>(times.size() - 1))];
}

template <typename Condition>
void waitFor(Condition condition) {
  while (!condition()) {
    QApplication::processEvents(QEventLoop::WaitForMoreEvents);
  }
}

std::vector<double> slide(Session& session, InterventionsPanel& panel, AttentionMapView& view) {
  std::vector<double> times;
  for (int step = 0; step < kSteps; ++step) {
    const auto before = session.interventions();
    QElapsedTimer clock;
    clock.start();
    panel.baseSlider()->setValue(panel.baseSlider()->value() - 7);
    waitFor([&] { return session.interventions() != before && view.exact(); });
    view.plot()->replot(QCustomPlot::rpImmediateRefresh);
    times.push_back(static_cast<double>(clock.nsecsElapsed()) / 1e6);
  }
  return times;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2 && argc != 4) {
    std::fprintf(stderr, "usage: bench_interventions CAPTURE.safetensors [LAYER HEAD]\n");
    return 2;
  }
  QApplication application(argc, argv);
  Appearance::instance().apply(ThemeKind::Dark);
  Session session;
  Engine engine;
  AttentionMapView view(&engine, &session);
  InterventionsPanel panel(&session);
  view.resize(900, 700);
  view.show();
  try {
    session.setCapture(Capture::open(argv[1]));
  } catch (const Error& error) {
    std::fprintf(stderr, "bench_interventions: %s\n", error.what());
    return 1;
  }
  if (argc == 4) {
    session.select({std::atoi(argv[2]), std::atoi(argv[3])});
  }
  waitFor([&] { return view.exact(); });
  std::printf("%lld tokens, map of 900 x 700 pixels; ms from slider to exact map\n",
              static_cast<long long>(session.tokens()));
  const auto print = [&](const char* what) {
    const std::vector<double> times = slide(session, panel, view);
    std::printf("%-28s 50 %% %7.1f   95 %% %7.1f   largest %7.1f\n", what, percentile(times, 0.5),
                percentile(times, 0.95), percentile(times, 1));
  };
  print("whole map");
  session.setInterventions({});
  const double end = static_cast<double>(session.tokens());
  view.zoomTo({end / 2, end / 2 + 400, end / 2, end / 2 + 400});
  waitFor([&] { return view.exact(); });
  print("400 x 400 tokens in view");
  return 0;
}
