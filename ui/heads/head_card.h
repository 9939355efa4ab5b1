#pragma once

// The card that appears beside a head of the wall: its name, case, five scores, and its note.

#include <QWidget>
#include <optional>

#include "ui/heads/metrics.h"
#include "ui/session/session.h"

namespace headscope::ui {

class HeadCard : public QWidget {
  Q_OBJECT
 public:
  explicit HeadCard(QWidget* parent = nullptr);

  /// `wanted`: a metric that must be among the five.
  void show(const Session& session, const ScoreTable& scores, HeadId head, std::optional<int> wanted,
            const QRect& besideGlobal);
  QStringList lines() const;  ///< what it says, for tests and screen readers

 protected:
  void paintEvent(QPaintEvent* event) override;

 private:
  struct Line {
    QString label, value, unit;
  };
  QSize wantedSize() const;

  QString title_, remark_, note_;
  bool flagged_ = false;
  std::vector<Line> lines_;
};

}  // namespace headscope::ui
