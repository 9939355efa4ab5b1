#pragma once

// What the user does with files and the model: open, run, save, import, recover. Connects the engine's answers to the
// session. Whatever fails is said as a message for the zone that it concerns; nothing else is lost by it.

#include <QElapsedTimer>
#include <QObject>
#include <QStringList>
#include <memory>
#include <optional>

#include "ui/engine/engine.h"
#include "ui/session/session.h"
#include "ui/session/session_file.h"
#include "ui/session/session_journal.h"
#include "ui/window/message_bar.h"

namespace headscope::ui {

/// What a path on disk is, judged without reading much of it.
enum class PathKind { Model, Capture, Session, Text, Unknown };
PathKind kindOfPath(const QString& path);
/// Weights or config.json inside a model folder lead to the folder.
QString modelPathOf(const QString& path);

class Workspace : public QObject {
  Q_OBJECT
 public:
  enum class Zone { Map, Head, Flags };

  Workspace(Engine* engine, Session* session, const QString& journalFolder, QObject* parent = nullptr);

  void open(const QString& path);
  void openDemo();
  /// The constructed heads, at the one of this case.
  void openGallery(Case kind = Case::ReAccess);
  /// Retrieval of all heads on needle prompts, besides the run in view.
  void scoreRetrieval();
  /// Runs `prompt` as soon as the model is there.
  void openAndRun(const QString& path, const QString& prompt);
  void openSession(const QString& path);
  void loadPrompt(const QString& path);
  void loadAndRun(const QString& path);
  void importMask(const QString& path);
  bool saveSession(const QString& path);
  void run();
  void stop();
  void continueText(int tokens);
  void saveCapture(const QString& path);
  /// On which device, in which arithmetic models run from now on: kept in the settings. An open model is opened anew,
  /// and its text run again.
  void setMachine(const ModelOptions& machine);
  const ModelOptions& machine() const { return machine_; }
  /// Flags that an earlier program left behind: offered once, as a message.
  void offerRecovery();
  void flush() { journal_.flush(); }  ///< before the program ends

  bool running() const { return running_; }
  bool opening() const { return !opening_.isEmpty(); }
  bool scoresComplete() const { return scoresComplete_; }
  QString sessionPath() const { return sessionPath_; }
  QString device() const { return device_; }
  QString arithmetic() const { return arithmetic_; }

 Q_SIGNALS:
  void message(headscope::ui::Workspace::Zone zone, const headscope::ui::BarMessage& message);
  void settled(headscope::ui::Workspace::Zone zone);  ///< what went wrong there is over
  void said(QString words);                           ///< for the status line
  void openingChanged(QString name);                  ///< empty: done
  void runningChanged(bool running);
  void progressed(double fraction, QString words);
  void textContinued(QString text);
  void retrievalScored();  ///< the session has the scores
  void sessionPathChanged();
  void openAsked();    ///< a message's button: let the user choose a file
  void promptAsked();  ///< a message's button: let the user edit the prompt

 private:
  void openModel(const QString& path);
  void openCapture(const QString& path);
  void connectEngine();
  void modelOpened(std::shared_ptr<const ModelInfo> info, const QString& device, const QString& arithmetic);
  void captureStarted(std::shared_ptr<const Capture> capture);
  void captureReady(std::shared_ptr<const Capture> capture, double seconds, double loss);
  void jobChanged(const JobStatus& status);
  void failed(const QString& what, const QString& text);
  void setOpening(const QString& path);
  void setRunning(bool running);
  void restore();
  void restoreFlags(const SessionState& state);
  void setSessionPath(const QString& path);
  void saveLooks() const;
  void restoreLooks();
  QString keptWords() const;

  Engine* engine_;
  Session* session_;
  SessionJournal journal_;
  QString opening_;  ///< path that is being opened
  bool openingCapture_ = false;
  std::optional<QString> runWhenOpen_;  ///< prompt
  std::optional<HeadId> selectWhenRun_;
  std::optional<SessionState> pending_;  ///< of a session whose model is being opened
  QString sessionPath_, device_, arithmetic_;
  ModelOptions machine_;
  bool running_ = false;
  bool scoresComplete_ = false;
};

}  // namespace headscope::ui
