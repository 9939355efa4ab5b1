#pragma once

// One value per token along an axis of the map. However long the text: where several tokens share a pixel, a band from
// their smallest to their largest value is drawn and a line through their means, from a pyramid made once. So no spike
// is lost, and a frame costs only its pixels.

#include <qcustomplot.h>

#include <vector>

#include "ui/map/map_geometry.h"

namespace headscope::ui {

/// Extremes and means of 2^level values each, NaN left out (NaN where all are).
class MinMaxPyramid {
 public:
  struct Extremes {
    double low, high, sum;
    double count;  ///< values that are no NaN
    double mean() const { return sum / count; }
  };

  void setValues(std::vector<double> values);
  const std::vector<double>& values() const { return values_; }
  bool empty() const { return values_.empty(); }
  Extremes all() const;  ///< NaN if there is none
  /// Level 1 … ; at least one.
  const std::vector<Extremes>& level(int level) const;
  int levels() const { return static_cast<int>(levels_.size()); }

 private:
  std::vector<double> values_;
  std::vector<std::vector<Extremes>> levels_;
};

class MarginCurve : public QCPAbstractPlottable {
  Q_OBJECT
 public:
  /// `tokenAxis` runs along the map, `valueAxis` across it.
  MarginCurve(QCPAxis* tokenAxis, QCPAxis* valueAxis);

  /// Value n stands at token n + offset.
  void setValues(std::vector<double> values, double offset);
  void clear() { setValues({}, 0); }
  const MinMaxPyramid& pyramid() const { return pyramid_; }
  double valueAt(std::int64_t token) const;   ///< NaN: none
  QPointF pointAt(std::int64_t token) const;  ///< pixels

  double selectTest(const QPointF& pos, bool onlySelectable, QVariant* details = nullptr) const override;
  QCPRange getKeyRange(bool& foundRange, QCP::SignDomain inSignDomain = QCP::sdBoth) const override;
  QCPRange getValueRange(bool& foundRange, QCP::SignDomain inSignDomain = QCP::sdBoth,
                         const QCPRange& inKeyRange = QCPRange()) const override;

 protected:
  void draw(QCPPainter* painter) override;
  void drawLegendIcon(QCPPainter* painter, const QRectF& rect) const override;

 private:
  void drawValues(QCPPainter* painter) const;
  void drawBand(QCPPainter* painter, double tokensPerPixel) const;
  QPointF place(double key, double value) const;

  MinMaxPyramid pyramid_;
  double offset_ = 0;
};

}  // namespace headscope::ui
