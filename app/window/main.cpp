// headscope: the window. Thin: arguments, theme, window.

#include <QApplication>
#include <QCommandLineParser>
#include <QSettings>
#include <QTimer>
#include <cstdio>

#include "core/base/error.h"
#include "ui/style/theme.h"
#include "ui/window/main_window.h"
#include "ui/window/resource_folder.h"

namespace {

using headscope::ui::Appearance;
using headscope::ui::MainWindow;
using headscope::ui::ThemeKind;

void addOptions(QCommandLineParser& parser) {
  parser.setApplicationDescription(QStringLiteral("Attention maps of a decoder LLM, head by head."));
  parser.addHelpOption();
  parser.addVersionOption();
  parser.addPositionalArgument(QStringLiteral("path"),
                               QStringLiteral("Model folder, .gguf file, capture or session; none: the demo model."),
                               QStringLiteral("[MODEL|CAPTURE|SESSION]"));
  parser.addOptions(
      {{QStringLiteral("text"), QStringLiteral("Run this text."), QStringLiteral("S")},
       {QStringLiteral("text-file"), QStringLiteral("Run the text of this file."), QStringLiteral("F")},
       {QStringLiteral("theme"), QStringLiteral("light or dark."), QStringLiteral("THEME")},
       {QStringLiteral("head"), QStringLiteral("Select this head: layer.head."), QStringLiteral("L.H")},
       {QStringLiteral("size"), QStringLiteral("Size of the window: WxH."), QStringLiteral("WxH")},
       {QStringLiteral("start"), QStringLiteral("Open nothing: the start page.")},
       {QStringLiteral("screenshot"), QStringLiteral("Write a picture of the window when all is computed, then quit."),
        QStringLiteral("F.png")}});
}

ThemeKind themeOf(const QString& asked) {
  const QString name = asked.isEmpty() ? QSettings().value(QStringLiteral("window/theme")).toString() : asked;
  return name == QLatin1String("light")  ? ThemeKind::Light
         : name == QLatin1String("dark") ? ThemeKind::Dark
                                         : Appearance::systemTheme();
}

void open(MainWindow& window, const QCommandLineParser& parser) {
  const QStringList paths = parser.positionalArguments();
  QString text = parser.value(QStringLiteral("text"));
  if (const QString file = parser.value(QStringLiteral("text-file")); !file.isEmpty()) {
    text = headscope::ui::readTextFile(file);
  }
  if (paths.isEmpty() && text.isEmpty()) {
    window.workspace()->openDemo();
  } else if (text.isEmpty()) {
    window.workspace()->open(paths.first());
  } else {
    const QString demo = headscope::ui::resourcePath(QStringLiteral("demo/headscope-demo"));
    window.workspace()->openAndRun(paths.isEmpty() ? demo : paths.first(), text);
  }
}

// Selects the asked head once there is a capture.
void selectWhenReady(MainWindow& window, const QString& words) {
  const QStringList parts = words.split(QLatin1Char('.'));
  if (parts.size() == 2) {
    auto* session = window.session();
    QObject::connect(session, &headscope::ui::Session::captureChanged, session, [session, parts] {
      session->select({parts[0].toInt(), parts[1].toInt()});
    });
  }
}

// Looks every 50 ms whether all is computed; two looks in a row, so that what follows from a change has begun.
void takePicture(MainWindow& window, const QString& path) {
  auto* timer = new QTimer(&window);
  QObject::connect(timer, &QTimer::timeout, &window, [&window, path, quiet = 0]() mutable {
    quiet = window.settled() ? quiet + 1 : 0;
    if (quiet < 6) {
      return;
    }
    try {
      window.saveWindowImage(path);
      QApplication::exit(0);
    } catch (const headscope::Error& error) {
      std::fprintf(stderr, "headscope: %s\n", error.what());
      QApplication::exit(1);
    }
  });
  timer->start(50);
}

}  // namespace

int main(int argc, char** argv) {
  QApplication application(argc, argv);
  QApplication::setApplicationName(QStringLiteral("headscope"));
  QApplication::setOrganizationName(QStringLiteral("headscope"));
  QApplication::setApplicationDisplayName(QStringLiteral("Headscope"));
  QApplication::setApplicationVersion(QStringLiteral(HEADSCOPE_VERSION));
  QCommandLineParser parser;
  addOptions(parser);
  parser.process(application);
  Appearance::instance().apply(themeOf(parser.value(QStringLiteral("theme"))));
  try {
    MainWindow window(headscope::ui::journalFolder());
    if (const QStringList size = parser.value(QStringLiteral("size")).split(QLatin1Char('x')); size.size() == 2) {
      window.resize(size[0].toInt(), size[1].toInt());
    }
    window.show();
    selectWhenReady(window, parser.value(QStringLiteral("head")));
    if (!parser.isSet(QStringLiteral("start"))) {
      open(window, parser);
    }
    if (const QString picture = parser.value(QStringLiteral("screenshot")); !picture.isEmpty()) {
      takePicture(window, picture);
    } else {
      window.workspace()->offerRecovery();
    }
    return QApplication::exec();
  } catch (const headscope::Error& error) {
    std::fprintf(stderr, "headscope: %s\n", error.what());
    return 1;
  }
}
