// Workspace: sessions, prompts and masks.

#include <QFileInfo>

#include "core/base/error.h"
#include "ui/flags/mask_exchange.h"
#include "ui/window/recent_files.h"
#include "ui/window/resource_folder.h"
#include "ui/window/workspace.h"

namespace headscope::ui {

void Workspace::setSessionPath(const QString& path) {
  sessionPath_ = path;
  Q_EMIT sessionPathChanged();
}

void Workspace::openSession(const QString& path) {
  SessionState state;
  try {
    state = readSessionFile(path);
  } catch (const Error& error) {
    Q_EMIT message(Zone::Map, {QString::fromUtf8(error.what()), keptWords(), tr("Open another…"),
                               [this] { Q_EMIT openAsked(); }, true});
    return;
  }
  addRecentFile(path);
  setSessionPath(QFileInfo(path).absoluteFilePath());
  const QString source = state.modelPath.isEmpty() ? state.capturePath : state.modelPath;
  session_->setPrompt(state.prompt);
  session_->setBos(state.bos);
  session_->setStyle(state.style);
  pending_ = state;
  if (source.isEmpty()) {
    restoreFlags(state);
    pending_.reset();
    return;
  }
  open(source);
  if (opening_.isEmpty()) {  // there is nothing at this path: open() has said so
    restoreFlags(state);
    pending_.reset();
  }
}

/// The model (or capture) of the pending session is there.
void Workspace::restore() {
  const SessionState state = *pending_;
  session_->setPrompt(state.prompt);
  session_->setBos(state.bos);
  if (state.ran && session_->model() && !session_->capture()) {
    restoreFlags(state);
    session_->select(state.selected);
    session_->setInterventions(state.interventions);
    pending_.reset();
    run();
    return;
  }
  pending_.reset();
  restoreFlags(state);
  session_->select(state.selected);
  session_->setInterventions(state.interventions);
}

void Workspace::restoreFlags(const SessionState& state) {
  const bool fits = session_->layers() == 0 || (session_->layers() == state.layers && session_->heads() == state.heads);
  if (!fits) {
    Q_EMIT message(Zone::Flags, {tr("The session's %1 flags are for %2 layers × %3 heads, this model has %4 × %5")
                                     .arg(state.flags.size())
                                     .arg(state.layers)
                                     .arg(state.heads)
                                     .arg(session_->layers())
                                     .arg(session_->heads()),
                                 tr("They stay in the session file."),
                                 {},
                                 {},
                                 true});
    setSessionPath(QString());  // saving must not overwrite them
    return;
  }
  session_->replaceFlags(state.flags, tr("Open session"));
  session_->undoStack()->clear();
  session_->undoStack()->setClean();
}

bool Workspace::saveSession(const QString& path) {
  try {
    writeSessionFile(path, sessionState(*session_));
  } catch (const Error& error) {
    Q_EMIT message(
        Zone::Flags,
        {QString::fromUtf8(error.what()), tr("The file is as it was; your flags are still here."), {}, {}, true});
    return false;
  }
  setSessionPath(QFileInfo(path).absoluteFilePath());
  session_->undoStack()->setClean();
  journal_.discard();
  addRecentFile(path);
  Q_EMIT settled(Zone::Flags);
  Q_EMIT said(tr("saved session %1").arg(QFileInfo(path).fileName()));
  return true;
}

void Workspace::loadPrompt(const QString& path) {
  try {
    session_->setPrompt(readTextFile(path));
    Q_EMIT said(tr("prompt from %1").arg(QFileInfo(path).fileName()));
  } catch (const Error& error) {
    Q_EMIT message(Zone::Map, {QString::fromUtf8(error.what()), tr("The prompt is as it was."), tr("Edit prompt"),
                               [this] { Q_EMIT promptAsked(); }, true});
  }
}

void Workspace::loadAndRun(const QString& path) {
  const QString before = session_->prompt();
  loadPrompt(path);
  if (session_->prompt() != before || !session_->capture()) {
    run();
  }
}

void Workspace::importMask(const QString& path) {
  if (session_->layers() == 0) {
    Q_EMIT message(Zone::Flags, {tr("%1: open the model first that this mask is for").arg(path),
                                 {},
                                 tr("Open…"),
                                 [this] { Q_EMIT openAsked(); },
                                 true});
    return;
  }
  try {
    const ImportedFlags imported = importFlags(*session_, path);
    session_->replaceFlags(imported.flags, tr("Import %1").arg(QFileInfo(path).fileName()));
    Q_EMIT message(Zone::Flags, {tr("%1: %2 are flagged").arg(QFileInfo(path).fileName(), imported.words),
                                 imported.warnings.join(QStringLiteral("; ")), tr("Undo"),
                                 [this] { session_->undoStack()->undo(); }, false});
  } catch (const Error& error) {
    Q_EMIT message(Zone::Flags, {QString::fromUtf8(error.what()), tr("Your flags are as they were."), {}, {}, true});
  }
}

void Workspace::offerRecovery() {
  const QStringList files = SessionJournal::leftBehind(journalFolder());
  for (const QString& file : files) {
    try {
      const SessionState state = readSessionFile(file);
      Q_EMIT message(Zone::Flags, {tr("%1 flags on %2 were never saved").arg(state.flags.size()).arg(state.modelName),
                                   tr("The program ended before you did."), tr("Restore"),
                                   [this, file] {
                                     openSession(file);
                                     setSessionPath(QString());
                                     SessionJournal::remove(file);
                                   },
                                   false});
      return;
    } catch (const Error&) {
      continue;  // a journal that can't be read is left where it is
    }
  }
}

}  // namespace headscope::ui
