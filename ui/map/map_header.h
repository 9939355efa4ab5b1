#pragma once

// The line above the map: which head, what it is in words, and the view buttons.

#include <QWidget>

#include "ui/session/session.h"

class QLabel;
class QToolButton;

namespace headscope::ui {

class MapHeader : public QWidget {
  Q_OBJECT
 public:
  explicit MapHeader(Session* session, QWidget* parent = nullptr);

  void setDetail(std::shared_ptr<const HeadDetail> detail);  ///< of the selected head; null: not known yet
  QString title() const;
  QString subtitle() const;

 Q_SIGNALS:
  void fitAsked();
  void oneToOneAsked();

 private:
  void refresh();

  Session* session_;
  std::shared_ptr<const HeadDetail> detail_;
  QLabel* title_;
  QLabel* subtitle_;
  QToolButton* back_;
  QToolButton* forward_;
};

/// "sequential 0.91 · previous token, sink · q-similarity 0.410"
QString headWords(const CaseResult& cases, const HeadScores& scores);
/// "RoPE base 100 000, channel 31 → 2"; empty without any.
QString interventionWords(const Interventions& interventions);

}  // namespace headscope::ui
