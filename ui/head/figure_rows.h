#pragma once

// Rows of one figure each: label, value, and a strip that shows where this head stands among all heads.

#include <QWidget>
#include <optional>
#include <vector>

namespace headscope::ui {

struct FigureRow {
  QString label, value, unit;
  QString tip;                      ///< definition and rank
  QString page, topic;              ///< help
  std::vector<float> others;        ///< positions 0 … 1 of all heads on the strip
  std::optional<double> position;   ///< of this head, 0 … 1
  std::optional<double> predicted;  ///< a second, hollow mark
  std::optional<double> threshold;  ///< a thin line across the strip, 0 … 1
  bool bar = false;                 ///< filled from 0 instead of a mark
  bool strong = false;              ///< the one that names the head
};

class FigureRows : public QWidget {
  Q_OBJECT
 public:
  explicit FigureRows(QWidget* parent = nullptr);

  void setRows(std::vector<FigureRow> rows);
  const std::vector<FigureRow>& rows() const { return rows_; }
  QSize sizeHint() const override;
  QSize minimumSizeHint() const override { return {120, sizeHint().height()}; }

 Q_SIGNALS:
  void helpAsked(QString page, QString topic);

 protected:
  void paintEvent(QPaintEvent* event) override;
  void mouseReleaseEvent(QMouseEvent* event) override;
  bool event(QEvent* event) override;

 private:
  int lineHeight() const;
  int rowAt(int y) const;
  void paintStrip(QPainter& painter, const FigureRow& row, const QRect& strip) const;

  std::vector<FigureRow> rows_;
};

}  // namespace headscope::ui
