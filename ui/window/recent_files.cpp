#include "ui/window/recent_files.h"

#include <QFileInfo>
#include <QSettings>

namespace headscope::ui {
namespace {

constexpr int kMost = 10;
const char* const kKey = "files/recent";

}  // namespace

QStringList recentFiles() {
  QStringList existing;
  for (const QString& path : QSettings().value(QLatin1String(kKey)).toStringList()) {
    if (QFileInfo::exists(path)) {
      existing.append(path);
    }
  }
  return existing;
}

void addRecentFile(const QString& path) {
  QStringList paths = QSettings().value(QLatin1String(kKey)).toStringList();
  const QString absolute = QFileInfo(path).absoluteFilePath();
  paths.removeAll(absolute);
  paths.prepend(absolute);
  QSettings().setValue(QLatin1String(kKey), paths.mid(0, kMost));
}

void clearRecentFiles() {
  QSettings().remove(QLatin1String(kKey));
}

}  // namespace headscope::ui
