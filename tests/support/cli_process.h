#pragma once

// Runs headscope-cli as a user's shell would, and looks at what comes back.

#include <sys/resource.h>

#include <QDir>
#include <QElapsedTimer>
#include <QProcess>
#include <QString>
#include <QStringList>

#include "core/files/json.h"

namespace headscope::test {

struct CliResult {
  int exitCode = -1;
  bool crashed = true;  ///< or not started, or past the time limit
  QByteArray out, err;
  double seconds = 0;

  bool failedWith(int code) const { return !crashed && exitCode == code; }
  /// stdout as one JSON document.
  Json json() const { return parseJson(std::string_view(out.constData(), std::size_t(out.size())), "stdout"); }
  /// For QVERIFY2.
  QByteArray report() const {
    return "exit " + QByteArray::number(exitCode) + (crashed ? " (crashed)" : "") + ", stdout: " + out.left(500) +
           ", stderr: " + err.left(1000);
  }
};

inline QString cliProgram() {
  return QStringLiteral(HEADSCOPE_BIN "/headscope-cli");
}

inline CliResult cli(const QStringList& arguments, int limitMs = 120'000) {
  CliResult result;
  QProcess process;
  QElapsedTimer timer;
  timer.start();
  process.start(cliProgram(), arguments);
  const bool done = process.waitForStarted() && process.waitForFinished(limitMs);
  result.seconds = double(timer.elapsed()) / 1000;
  if (!done) {
    process.kill();
    process.waitForFinished();
  }
  result.crashed = !done || process.exitStatus() != QProcess::NormalExit;
  result.exitCode = process.exitCode();
  result.out = process.readAllStandardOutput();
  result.err = process.readAllStandardError();
  return result;
}

/// True if stderr is the one line "headscope-cli: …" that every failure ends with.
inline bool isOneLine(const QByteArray& err) {
  return err.startsWith("headscope-cli: ") && err.count('\n') == 1 && err.endsWith('\n');
}

/// Largest resident memory of any program that was run so far.
inline std::int64_t childrenPeakBytes() {
  rusage usage{};
  getrusage(RUSAGE_CHILDREN, &usage);
  return std::int64_t{usage.ru_maxrss} * 1024;
}

inline QString shared(const char* path) {
  return QStringLiteral(HEADSCOPE_SHARED "/") + QString::fromUtf8(path);
}

/// A file with a JSON list of ids.
inline QString idsFile(const QDir& folder, const QString& name, const std::vector<std::int64_t>& ids) {
  QFile file(folder.filePath(name));
  if (file.open(QIODevice::WriteOnly)) {
    file.write(QByteArray::fromStdString(Json(ids).dump()));
  }
  return file.fileName();
}

}  // namespace headscope::test
