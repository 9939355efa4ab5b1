#pragma once

// What-if changes of the head in view: RoPE base, the dominant channel at another index, dropped channels, no RoPE.
// Live: every change goes to the session, and map and curves follow.

#include <QTimer>
#include <QWidget>
#include <optional>

#include "ui/session/session.h"

class QCheckBox;
class QLabel;
class QLineEdit;
class QPushButton;
class QSlider;

namespace headscope::ui {

class InterventionsPanel : public QWidget {
  Q_OBJECT
 public:
  explicit InterventionsPanel(Session* session, QWidget* parent = nullptr);

  /// Of the unchanged head.
  void setDominant(std::optional<int> channel);
  void reset();  ///< the original head

  QSlider* baseSlider() const { return base_; }
  QSlider* moveSlider() const { return move_; }

 private:
  void build();
  const Rope* rope() const;
  int basePosition(double base) const;
  void showSession();  ///< controls follow the session
  void changed();      ///< session follows the controls, a moment later
  Interventions wanted() const;
  void apply(const Interventions& interventions);

  Session* session_;
  std::optional<int> dominant_;
  QSlider* base_;
  QLineEdit* baseValue_;
  QSlider* move_;
  QLabel* moveName_;
  QLabel* moveValue_;
  QLineEdit* drop_;
  QLabel* problem_;
  QCheckBox* noRope_;
  QPushButton* original_;
  std::optional<double> exactBase_;  ///< typed or chosen; the slider is coarser
  bool showing_ = false;
  QTimer timer_;
};

/// "0, 3-5, 31" as ascending channel numbers; none if it can't be read or a channel is not below `channels`.
std::optional<std::vector<int>> parseChannels(const QString& text, int channels);

}  // namespace headscope::ui
