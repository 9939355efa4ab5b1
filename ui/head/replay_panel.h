#pragma once

// The paper's two validation experiments on the head in view: what the period is predicted to be and what is
// measured, before and after. One click (or key) on a line puts it in force, and the map follows.

#include <QTimer>
#include <QWidget>
#include <memory>
#include <optional>

#include "ui/engine/engine.h"
#include "ui/session/session.h"

class QLabel;
class QPushButton;
class QTableWidget;

namespace headscope::ui {

class ReplayPanel : public QWidget {
  Q_OBJECT
 public:
  ReplayPanel(Engine* engine, Session* session, QWidget* parent = nullptr);

  /// Puts the next line of this experiment in force; behind the last one comes the head as captured.
  void step(Experiment experiment);

  std::shared_ptr<const Replay> replay() const { return replay_; }  ///< of the head in view, or null
  QTableWidget* table() const { return table_; }
  QString verdict() const;

 Q_SIGNALS:
  void constructedAsked();  ///< to see it on a head that must show it

 protected:
  void showEvent(QShowEvent* event) override;

 private:
  void changed();  ///< another head or capture is in view
  void request();
  void arrived(std::shared_ptr<const Replay> replay);
  void fill();
  void showSession();  ///< the line in force is selected
  void apply(int row);

  Engine* engine_;
  Session* session_;
  QTableWidget* table_;
  QLabel* verdict_;
  QPushButton* compute_;
  QPushButton* constructed_;
  QTimer timer_;
  std::shared_ptr<const Replay> replay_;
  std::optional<Experiment> wanted_;  ///< a step that waits for the readings
  bool filling_ = false;
};

}  // namespace headscope::ui
