// The whole window on synthetic captures, as it stands after a file was opened: scores, details and thumbnails are
// computed all the while.
//
//   - first paint: from the click on a head of the wall to the first painted frame that shows this head (a cached
//     parent or a preview from sampled rows); heads that were never looked at before, bound 50 ms;
//   - the wall: from the opened capture to the last head's thumbnail from sampled rows on the screen, bound 2 s.
//
//   QT_QPA_PLATFORM=offscreen bench_window [--long 131072] [--tokens 8192] [--layers 32] [--heads 32] [--clicks 12]

#include <time.h>
#include <QApplication>
#include <QElapsedTimer>
#include <QTemporaryDir>
#include <QtTest>
#include <algorithm>
#include <cstdio>
#include <limits>
#include <set>
#include <thread>

#include "tests/benchmarks/measure.h"
#include "tests/benchmarks/random_capture.h"
#include "tests/support/own_settings.h"
#include "ui/heads/heads_panel.h"
#include "ui/map/attention_map_view.h"
#include "ui/map/tile_plottable.h"
#include "ui/style/theme.h"
#include "ui/window/main_window.h"

using namespace headscope;
using namespace headscope::ui;

namespace {

constexpr double kGiveUpMs = 60000;

std::shared_ptr<const Capture> capture(std::int64_t tokens, int layers, int heads, int kvHeads) {
  test::SyntheticCapture options;
  options.tokens = tokens;
  options.layers = layers;
  options.heads = heads;
  options.kvHeads = kvHeads;
  options.dim = 64;
  options.scale = 0.125;
  options.type = FloatType::BF16;
  return bench::randomCapture(options);
}

void open(MainWindow& window, const std::shared_ptr<const Capture>& capture) {
  Q_EMIT window.engine()->captureReady(capture, 0, std::numeric_limits<double>::quiet_NaN());
}

// Waits in the event loop, without a rest between two turns.
template <typename Condition>
double waitFor(const QElapsedTimer& clock, const Condition& condition) {
  while (!condition() && static_cast<double>(clock.elapsed()) < kGiveUpMs) {
    QApplication::processEvents(QEventLoop::AllEvents, 5);
  }
  return static_cast<double>(clock.nsecsElapsed()) / 1e6;
}

void print(const QString& what, std::vector<double> times, double bound) {
  std::sort(times.begin(), times.end());
  const auto at = [&times](double share) {
    return times[static_cast<std::size_t>(share * static_cast<double>(times.size() - 1))];
  };
  std::printf("%-58s %9.1f %9.1f %9.1f %9.0f\n", qPrintable(what), at(0.5), at(0.95), at(1), bound);
  std::fflush(stdout);
}

std::vector<double> firstPaints(MainWindow& window, const std::vector<HeadId>& heads) {
  std::vector<double> times;
  bool shown = false;
  const auto listening = QObject::connect(window.map(), &AttentionMapView::frameDrawn, &window,
                                          [&] { shown = window.map()->tiles().anythingShown(); });
  for (const HeadId head : heads) {
    const QPoint at = window.heads()->wall()->cellOnScreen(head).center();
    shown = false;
    QElapsedTimer clock;
    clock.start();
    QTest::mouseClick(window.heads()->wall()->viewport(), Qt::LeftButton, {}, at);
    times.push_back(waitFor(clock, [&] { return shown && window.session()->selected() == head; }));
    QTest::qWait(400);
  }
  QObject::disconnect(listening);
  return times;
}

struct WallTimes {
  double appeared = 0, refined = 0;
  double processor = 0;  ///< of all threads until the last thumbnail had appeared
};

double processorMs() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) * 1e-6;
}

WallTimes wall(MainWindow& window, const std::shared_ptr<const Capture>& capture) {
  std::set<HeadId> there, exact;
  const auto listening =
      QObject::connect(window.engine(), &Engine::thumbnailReady, &window, [&](const ui::Thumbnail& thumbnail) {
        if (thumbnail.capture == capture->id()) {
          there.insert(thumbnail.head);
          if (thumbnail.exact) {
            exact.insert(thumbnail.head);
          }
        }
      });
  const std::size_t heads =
      static_cast<std::size_t>(capture->header().layers) * static_cast<std::size_t>(capture->header().heads);
  QElapsedTimer clock;
  clock.start();
  const double start = processorMs();
  open(window, capture);
  waitFor(clock, [&] { return there.size() == heads; });
  window.heads()->wall()->viewport()->repaint();
  WallTimes times;
  times.appeared = static_cast<double>(clock.nsecsElapsed()) / 1e6;
  times.processor = processorMs() - start;
  times.refined = waitFor(clock, [&] { return exact.size() >= heads / 32; });
  QObject::disconnect(listening);
  return times;
}

}  // namespace

int main(int argc, char** argv) {
  QApplication application(argc, argv);
  const QTemporaryDir folder;
  test::keepSettingsIn(folder.path());
  Appearance::instance().apply(ThemeKind::Dark);
  const auto number = [&](const char* name, long fallback) { return bench::option(argc, argv, name, fallback); };
  std::printf("the window at 1600 x 1000; milliseconds\n%-58s %9s %9s %9s %9s\n", "", "50 %", "95 %", "largest",
              "bound");
  const int clicks = static_cast<int>(number("--clicks", 12));
  const auto clicked = [clicks](int layers, int heads) {
    std::vector<HeadId> list;
    for (int i = 0; i < clicks; ++i) {
      const int at = (i * 7 + 3) % (layers * heads);
      list.push_back({at / heads, at % heads});
    }
    return list;
  };
  {
    MainWindow window(folder.filePath(QStringLiteral("journal")));
    window.resize(1600, 1000);
    window.show();
    const auto layers = static_cast<int>(number("--layers", 32)), heads = static_cast<int>(number("--heads", 32));
    const auto many = capture(number("--tokens", 8192), layers, heads, std::max(1, heads / 4));
    const WallTimes times = wall(window, many);
    const QString text = QStringLiteral("%1 heads, %2 tokens").arg(layers * heads).arg(many->tokens());
    print(QStringLiteral("wall of %1: all from sampled rows").arg(text), {times.appeared}, 2000);
    print(QStringLiteral("wall of %1: the same, processor time a core").arg(text),
          {times.processor / std::max(1u, std::thread::hardware_concurrency())}, 2000);
    print(QStringLiteral("wall of %1: 1 in 32 exact").arg(text), {times.refined},
          std::numeric_limits<double>::quiet_NaN());
    print(QStringLiteral("first paint after a click, %1").arg(text), firstPaints(window, clicked(8, heads)), 50);
  }
  {
    MainWindow window(folder.filePath(QStringLiteral("journal")));
    window.resize(1600, 1000);
    window.show();
    const auto longText = capture(number("--long", 131072), 2, 8, 2);
    open(window, longText);
    QTest::qWait(3000);
    print(QStringLiteral("first paint after a click, 16 heads, %1 tokens").arg(longText->tokens()),
          firstPaints(window, clicked(2, 8)), 50);
  }
  return 0;
}
