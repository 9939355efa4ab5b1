#include "ui/window/bos_menu.h"

#include "ui/engine/engine.h"
#include "ui/session/session.h"

namespace headscope::ui {

BosMenu::BosMenu(Engine* engine, Session* session, QWidget* parent)
    : QMenu(tr("&Begin-of-sequence token"), parent), session_(session) {
  setObjectName(QStringLiteral("bosMenu"));
  rebuild();
  // Queued, as it removes the action that is just being triggered. Before a look at it, as that may have changed
  // nothing.
  connect(session_, &Session::bosChanged, this, &BosMenu::rebuild, Qt::QueuedConnection);
  connect(this, &QMenu::aboutToShow, this, &BosMenu::rebuild);
  connect(engine, &Engine::tokenizerOpened, this, [this](const QString& before) {
    before_ = before;
    rebuild();
  });
}

void BosMenu::rebuild() {
  clear();
  const QString automatic =
      before_.isEmpty() ? tr("As the model says: none") : tr("As the model says: %1").arg(before_);
  for (const auto& [rule, words] :
       {std::pair(Bos::Auto, automatic), std::pair(Bos::On, tr("Always")), std::pair(Bos::Off, tr("Never"))}) {
    QAction* action = addAction(words);
    action->setCheckable(true);
    action->setChecked(session_->bos() == rule);
    connect(action, &QAction::triggered, session_, [this, rule = rule] { session_->setBos(rule); });
  }
}

}  // namespace headscope::ui
