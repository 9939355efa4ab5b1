#pragma once

// Long work: what runs, how far, how long still, Stop; and what became of the rest.

#include <QWidget>
#include <map>

#include "ui/engine/engine.h"

class QLabel;
class QVBoxLayout;

namespace headscope::ui {

class JobRow;

class JobsList : public QWidget {
  Q_OBJECT
 public:
  explicit JobsList(Engine* engine, QWidget* parent = nullptr);
  int active() const;
  int rows() const { return static_cast<int>(rows_.size()); }

 Q_SIGNALS:
  void activeChanged(int count);

 private:
  void update(const JobStatus& status);
  void dropOldest();

  Engine* engine_;
  QVBoxLayout* column_;
  QLabel* empty_;
  std::map<quint64, JobRow*> rows_;
};

/// "4 s left", "2 min left"; empty if unknown.
QString timeLeftWords(double seconds);

}  // namespace headscope::ui
