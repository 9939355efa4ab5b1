#include "ui/window/resource_folder.h"

#include <QCoreApplication>
#include <QDir>
#include <QFileInfo>
#include <QStandardPaths>

#include "core/base/error.h"
#include "core/base/text.h"
#include "core/files/atomic_file.h"

namespace headscope::ui {
namespace {

constexpr std::uint64_t kLargestText = std::uint64_t{64} << 20;

}  // namespace

QString resourcePath(const QString& relative) {
  const QString folders[] = {
      QDir(QCoreApplication::applicationDirPath()).absoluteFilePath(QStringLiteral("../share/headscope")),
      QStringLiteral(HEADSCOPE_RESOURCES)};
  for (const QString& folder : folders) {
    const QString path = QDir::cleanPath(QDir(folder).absoluteFilePath(relative));
    if (QFileInfo::exists(path)) {
      return path;
    }
  }
  return {};
}

QString journalFolder() {
  return QDir(QStandardPaths::writableLocation(QStandardPaths::AppDataLocation))
      .absoluteFilePath(QStringLiteral("journal"));
}

QString readTextFile(const QString& path) {
  const std::string bytes = readFile(path.toStdString(), kLargestText);
  if (!isUtf8(bytes)) {
    throw Error(path.toStdString(), concat("is not UTF-8 text (byte ", firstInvalidUtf8(bytes), ")"));
  }
  return QString::fromUtf8(bytes.data(), static_cast<qsizetype>(bytes.size()));
}

}  // namespace headscope::ui
