#pragma once

// The small plots of the Head panel: themed, labelled, never taking the wheel from the scroll area they lie in.

#include <qcustomplot.h>

#include "core/analysis/report.h"

namespace headscope::ui {

class LensPlot : public QCustomPlot {
  Q_OBJECT
 public:
  LensPlot(const QString& name, int height, QWidget* parent = nullptr);

 Q_SIGNALS:
  void readout(QString text);  ///< of what is under the mouse; empty when it left

 protected:
  virtual void restyle();
  void wheelEvent(QWheelEvent* event) override { event->ignore(); }
  void leaveEvent(QEvent* event) override;
  /// A short text at the right end of a curve instead of a legend.
  QCPItemText* directLabel(const QString& text);
};

/// Strength of each RoPE channel; wavelengths on the axis above.
class ChannelPlot : public LensPlot {
  Q_OBJECT
 public:
  explicit ChannelPlot(QWidget* parent = nullptr);
  void setSpectrum(const RopeSpectrum& spectrum);

 protected:
  void restyle() override;
  void mouseMoveEvent(QMouseEvent* event) override;

 private:
  RopeSpectrum spectrum_;
  QCPBars* bars_;
  QCPBars* dominant_;
};

/// Mean logit by distance: measured solid, predicted dashed, periods as thin lines.
class DistancePlot : public LensPlot {
  Q_OBJECT
 public:
  explicit DistancePlot(QWidget* parent = nullptr);
  void setLens(const RopeLens& lens);

 protected:
  void restyle() override;
  void mouseMoveEvent(QMouseEvent* event) override;

 private:
  RopeLens lens_;
  QCPGraph* measured_;
  QCPGraph* predicted_;
  QCPItemText* measuredName_;
  QCPItemText* predictedName_;
  QCPItemStraightLine* period_;
};

/// One of TAPPA's statements over time: measured change against its bound.
class BoundPlot : public LensPlot {
  Q_OBJECT
 public:
  explicit BoundPlot(QWidget* parent = nullptr);
  void setCurve(const BoundCurve& curve, bool lowerBound);

 protected:
  void restyle() override;
  void mouseMoveEvent(QMouseEvent* event) override;

 private:
  BoundCurve curve_;
  QCPGraph* measured_;
  QCPGraph* bound_;
  QCPItemText* measuredName_;
  QCPItemText* boundName_;
};

/// "6.28", "1 990", "35.3k", "2.72M": a wavelength in tokens for an axis.
QString compactTokens(double tokens);

}  // namespace headscope::ui
