#pragma once

// Whether runs begin with the begin-of-sequence token: as the model's tokenizer says (and what that is), always, never.

#include <QMenu>

namespace headscope::ui {

class Engine;
class Session;

class BosMenu : public QMenu {
  Q_OBJECT
 public:
  BosMenu(Engine* engine, Session* session, QWidget* parent = nullptr);

 private:
  void rebuild();

  Session* session_;
  QString before_;  ///< what the tokenizer adds by itself
};

}  // namespace headscope::ui
