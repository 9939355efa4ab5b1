#pragma once

// Flags survive a crash: while a session has unsaved flags, its state lies in a file of the program's data folder,
// rewritten aside and renamed after every change. A journal whose program is gone is offered at the next start.

#include <QLockFile>
#include <QObject>
#include <QString>
#include <QStringList>
#include <QTimer>
#include <memory>

#include "ui/session/session.h"
#include "ui/session/session_file.h"

namespace headscope::ui {

class SessionJournal : public QObject {
  Q_OBJECT
 public:
  /// `folder` is made if it is missing. `session` must outlive the journal.
  SessionJournal(Session& session, const QString& folder, QObject* parent = nullptr);

  QString file() const { return file_; }
  void flush();    ///< writes now what is waiting
  void discard();  ///< the flags are saved elsewhere: no journal until the next change

  /// Journals that no running program holds, newest first.
  static QStringList leftBehind(const QString& folder);
  static void remove(const QString& file);

 Q_SIGNALS:
  void failed(QString message);  ///< said once until writing works again

 private:
  Session& session_;
  QString file_;
  std::unique_ptr<QLockFile> lock_;
  QTimer timer_;
  bool failing_ = false;
};

}  // namespace headscope::ui
