#pragma once

// From which evidence a head counts as which case: four numbers, moved live. Labels, filters and case scores of all
// heads follow without touching the attention again. The settings remember them.

#include <QWidget>
#include <array>

#include "core/analysis/cases.h"
#include "ui/heads/metrics.h"
#include "ui/session/session.h"

class QDoubleSpinBox;
class QLabel;
class QPushButton;
class QSlider;

namespace headscope::ui {

class ThresholdPanel : public QWidget {
  Q_OBJECT
 public:
  explicit ThresholdPanel(Session* session, QWidget* parent = nullptr);

  /// How many heads have which label now.
  void setScores(const ScoreTable& scores);
  bool moved() const;  ///< differ from the defaults
  void reset();

  QDoubleSpinBox* field(std::size_t index) const { return rows_[index].field; }
  QString countWords() const;

  static constexpr std::size_t kCount = 4;  ///< in the order of CaseThresholds

 private:
  struct Row {
    QSlider* slider;
    QDoubleSpinBox* field;
  };
  void showSession();
  void changed();

  Session* session_;
  std::array<Row, kCount> rows_;
  QLabel* counts_;
  QPushButton* reset_;
  bool showing_ = false;
};

}  // namespace headscope::ui
