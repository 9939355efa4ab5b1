#pragma once

// One undoable change of flags and notes. Edits of the same note that follow each other become one step.

#include <QUndoCommand>
#include <map>
#include <optional>

#include "ui/session/session.h"

namespace headscope::ui {

class FlagCommand : public QUndoCommand {
 public:
  /// `noteOf`: the head whose note this edits; commands with the same one merge.
  FlagCommand(Session& session, std::map<HeadId, QString> after, const QString& text,
              std::optional<HeadId> noteOf = std::nullopt);

  void undo() override { session_.applyFlags(before_); }
  void redo() override { session_.applyFlags(after_); }
  int id() const override { return noteOf_ ? 1 : -1; }
  bool mergeWith(const QUndoCommand* other) override;

 private:
  Session& session_;
  std::map<HeadId, QString> before_, after_;
  std::optional<HeadId> noteOf_;
};

}  // namespace headscope::ui
