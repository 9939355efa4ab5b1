#pragma once

// Top of the Head panel: which head, what it is, its flag and note, and the way to others like it.

#include <QWidget>
#include <optional>

#include "ui/heads/metrics.h"
#include "ui/session/session.h"

class QLabel;
class QLineEdit;
class QPushButton;
class QToolButton;

namespace headscope::ui {

class HeadHeader : public QWidget {
  Q_OBJECT
 public:
  explicit HeadHeader(Session* session, QWidget* parent = nullptr);

  void setScores(const ScoreTable& scores);
  void setCases(const CaseResult& cases);  ///< of the head in view, maybe changed by interventions
  QPushButton* flagButton() const { return flag_; }
  QLineEdit* noteField() const { return note_; }
  QString about() const;
  QString caseWords() const;  ///< of the chip: label and score

  /// Heads of the same case, the clearest first.
  std::vector<HeadId> alike() const;
  void stepAlike(int steps);

 private:
  void refresh();

  Session* session_;
  ScoreTable scores_;
  std::optional<CaseResult> cases_;
  QLabel* title_;
  QLabel* chip_;
  QPushButton* flag_;
  QToolButton* previous_;
  QToolButton* next_;
  QLabel* place_;
  QLabel* about_;  ///< what the capture says about this head
  QLineEdit* note_;
};

}  // namespace headscope::ui
