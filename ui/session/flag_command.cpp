#include "ui/session/flag_command.h"

#include <utility>

namespace headscope::ui {

FlagCommand::FlagCommand(Session& session, std::map<HeadId, QString> after, const QString& text,
                         std::optional<HeadId> noteOf)
    : QUndoCommand(text), session_(session), before_(session.flags()), after_(std::move(after)), noteOf_(noteOf) {}

bool FlagCommand::mergeWith(const QUndoCommand* other) {
  const auto* next = dynamic_cast<const FlagCommand*>(other);
  if (next == nullptr || next->noteOf_ != noteOf_) {
    return false;
  }
  after_ = next->after_;
  setObsolete(after_ == before_);
  return true;
}

}  // namespace headscope::ui
