#pragma once

// What the colours mean: words, the bar, and round values of the range in force.

#include <qcustomplot.h>

#include <QVector>

#include "ui/style/color_map.h"

namespace headscope::ui {

class ColorBar : public QCPLayoutElement {
  Q_OBJECT
 public:
  explicit ColorBar(QCustomPlot* plot);

  void set(const ColorMap& map, const ColorRange& range, const QString& words);
  const ColorRange& range() const { return range_; }
  QString words() const { return words_; }

 protected:
  void applyDefaultAntialiasingHint(QCPPainter* painter) const override;
  void draw(QCPPainter* painter) override;

 private:
  const ColorMap* map_;
  ColorRange range_;
  QString words_;
};

/// Values to write under a colour bar: powers of ten of a log range, five round steps of a linear one.
QVector<double> colorTicks(const ColorRange& range);
QString colorTickText(double value);

}  // namespace headscope::ui
