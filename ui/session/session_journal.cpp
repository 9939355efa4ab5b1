#include "ui/session/session_journal.h"

#include <QDir>
#include <QFile>
#include <QFileInfo>
#include <QUuid>

#include "core/base/error.h"

namespace headscope::ui {
namespace {

constexpr int kDelayMs = 150;
const QString kEnding = QStringLiteral(".journal.json");

QString lockOf(const QString& file) {
  return file + QStringLiteral(".lock");
}

}  // namespace

SessionJournal::SessionJournal(Session& session, const QString& folder, QObject* parent)
    : QObject(parent), session_(session) {
  QDir().mkpath(folder);
  file_ = QDir(folder).absoluteFilePath(QUuid::createUuid().toString(QUuid::WithoutBraces) + kEnding);
  lock_ = std::make_unique<QLockFile>(lockOf(file_));
  lock_->setStaleLockTime(0);  // stale only when its process is gone, however long it runs
  lock_->tryLock(0);
  timer_.setSingleShot(true);
  timer_.setInterval(kDelayMs);
  connect(&timer_, &QTimer::timeout, this, &SessionJournal::flush);
  connect(&session_, &Session::flagsChanged, this, [this] { timer_.start(); });
}

void SessionJournal::flush() {
  timer_.stop();
  if (session_.flags().empty()) {
    QFile::remove(file_);
    return;
  }
  try {
    writeSessionFile(file_, sessionState(session_));
    failing_ = false;
  } catch (const Error& error) {
    if (!failing_) {
      failing_ = true;
      Q_EMIT failed(QString::fromStdString(error.what()));
    }
  }
}

void SessionJournal::discard() {
  timer_.stop();
  QFile::remove(file_);
}

QStringList SessionJournal::leftBehind(const QString& folder) {
  QStringList found;
  const QDir directory(folder);
  const QFileInfoList files = directory.entryInfoList({QStringLiteral("*") + kEnding}, QDir::Files, QDir::Time);
  for (const QFileInfo& info : files) {
    QLockFile lock(lockOf(info.absoluteFilePath()));
    lock.setStaleLockTime(0);
    if (lock.tryLock(0)) {
      found.append(info.absoluteFilePath());
    }
  }
  return found;
}

void SessionJournal::remove(const QString& file) {
  QFile::remove(file);
  QFile::remove(lockOf(file));
}

}  // namespace headscope::ui
