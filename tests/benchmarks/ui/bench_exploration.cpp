// The window on a real model and a long text, used all the while: is there a pause? A timer beats in the UI thread;
// what is measured is the time between two beats, from the click that opens the model until its maps were explored. A
// beat that is late is a window that does not answer.
//
//   QT_QPA_PLATFORM=offscreen bench_exploration MODEL TEXT_FILE [TOKENS_TO_CONTINUE]

#include <QApplication>
#include <QElapsedTimer>
#include <QTemporaryDir>
#include <QTimer>
#include <QWheelEvent>
#include <QtTest>
#include <algorithm>
#include <cstdio>
#include <vector>

#include "tests/support/own_settings.h"
#include "ui/heads/heads_panel.h"
#include "ui/map/attention_map_view.h"
#include "ui/map/map_plot.h"
#include "ui/style/theme.h"
#include "ui/window/main_window.h"
#include "ui/window/resource_folder.h"

using namespace headscope;
using namespace headscope::ui;

namespace {

constexpr int kBeatMs = 2;

class Heart {
 public:
  Heart() {
    timer_.setTimerType(Qt::PreciseTimer);
    QObject::connect(&timer_, &QTimer::timeout, [this] { beat(); });
    timer_.start(kBeatMs);
    clock_.start();
    phase_.start();
  }

  void report(const char* phase) {
    beat();
    std::sort(gaps_.begin(), gaps_.end());
    const auto at = [this](double share) {
      return gaps_[static_cast<std::size_t>(share * static_cast<double>(gaps_.size() - 1))];
    };
    const auto late = std::count_if(gaps_.begin(), gaps_.end(), [](double ms) { return ms > 100; });
    std::printf("%-44s %8.1f %8.1f %8.1f %8.1f %10td\n", phase, phase_.elapsed() / 1e3, at(0.5), at(0.99), at(1), late);
    std::fflush(stdout);
    gaps_.clear();
    phase_.start();
    clock_.start();
  }

 private:
  void beat() {
    gaps_.push_back(static_cast<double>(clock_.nsecsElapsed()) / 1e6);
    clock_.start();
  }

  QTimer timer_;
  QElapsedTimer clock_, phase_;
  std::vector<double> gaps_;  ///< ms
};

template <typename Condition>
bool waitFor(const Condition& condition) {
  return QTest::qWaitFor(condition, 600000);
}

// As a user does it: another head, then into the map and about, then the wheel back out.
void lookAround(MainWindow& window, int heads, int seconds) {
  QWidget* plot = window.map()->plot();
  QElapsedTimer clock;
  clock.start();
  for (int step = 0; clock.elapsed() < seconds * 1000LL; ++step) {
    if (step % 40 == 0) {
      const int head = step / 40 * 37 % heads;
      const int perLayer = window.session()->capture()->header().heads;
      window.session()->select({head / perLayer, head % perLayer});
    }
    const QPointF at(plot->width() * (0.3 + 0.4 * (step % 7) / 7), plot->height() * (0.3 + 0.4 * (step % 5) / 5));
    QWheelEvent wheel(at, plot->mapToGlobal(at), {}, {0, step % 40 < 20 ? 120 : -120}, Qt::NoButton, Qt::NoModifier,
                      Qt::NoScrollPhase, false);
    QApplication::sendEvent(plot, &wheel);
    QTest::mouseMove(plot, at.toPoint() + QPoint(step % 11, step % 13));
    QTest::qWait(16);
  }
}

}  // namespace

int main(int argc, char** argv) {
  QApplication application(argc, argv);
  if (argc < 3) {
    std::printf("bench_exploration MODEL TEXT_FILE [TOKENS_TO_CONTINUE]\n");
    return 2;
  }
  const QTemporaryDir folder;
  test::keepSettingsIn(folder.path());
  Appearance::instance().apply(ThemeKind::Dark);
  MainWindow window(folder.filePath(QStringLiteral("journal")));
  window.resize(1600, 1000);
  window.show();
  bool captured = false;
  QObject::connect(window.engine(), &Engine::captureReady, &window, [&captured] { captured = true; });
  std::printf("%-44s %8s %8s %8s %8s %10s\n", "time between two beats of the UI thread, ms", "s long", "50 %", "99 %",
              "largest", "over 100");
  QTest::qWait(500);
  Heart heart;
  window.workspace()->openAndRun(QString::fromLocal8Bit(argv[1]), readTextFile(QString::fromLocal8Bit(argv[2])));
  if (!waitFor([&] { return window.session()->capture() != nullptr; })) {
    std::printf("no capture came\n");
    return 1;
  }
  heart.report("opening the model");
  const auto& header = window.session()->capture()->header();
  const int heads = header.layers * header.heads;
  while (!captured) {
    lookAround(window, heads, 1);
  }
  heart.report("exploring while the text runs");
  lookAround(window, heads, 15);
  heart.report("exploring while scores and maps come");
  waitFor([&] { return window.settled(); });
  heart.report("until all is exact");
  lookAround(window, heads, 15);
  heart.report("exploring");
  if (argc > 3) {
    bool continued = false;
    QObject::connect(window.workspace(), &Workspace::textContinued, &window, [&](const QString& text) {
      continued = true;
      std::printf("continued: %s\n", qPrintable(text.right(240).simplified()));
    });
    window.workspace()->continueText(std::atoi(argv[3]));
    waitFor([&] { return continued; });
    heart.report("continuing the text");
  }
  std::printf("%d heads, %lld tokens\n", heads, static_cast<long long>(window.session()->capture()->tokens()));
  return 0;
}
