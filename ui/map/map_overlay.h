#pragma once

// What changes with every move of the mouse: crosshair, the cell under it, pinned cell, labels of both tokens, points
// on the curves, rubber band, messages. On the screen MapPlot paints it over the finished plot; on QCustomPlot's
// overlay layer it is drawn for exports only.

#include <qcustomplot.h>

#include <optional>
#include <vector>

#include "ui/map/map_geometry.h"
#include "ui/map/margin_curve.h"
#include "ui/map/token_labels.h"

namespace headscope::ui {

class MapOverlay : public QCPLayerable {
  Q_OBJECT
 public:
  struct Curves {
    std::vector<const MarginCurve*> query, key;
  };

  MapOverlay(QCustomPlot* plot, TokenLabels* labels, Curves curves);

  void setFrame(const MapFrame& frame, int level);
  void setCursor(std::optional<Cursor> cursor) { cursor_ = cursor; }
  void setPinned(std::optional<Cursor> cursor) { pinned_ = cursor; }
  void setBand(const QRect& band) { band_ = band; }          ///< null: none
  void setMessage(const QString& text) { message_ = text; }  ///< in the empty triangle
  void setReadout(const QString& text) { readout_ = text; }  ///< frame times

  void paint(QCPPainter* painter);
  QRegion region() const;  ///< that paint() may touch, logical pixels

 protected:
  void applyDefaultAntialiasingHint(QCPPainter* painter) const override;
  void draw(QCPPainter* painter) override;

 private:
  QRectF cellRect(const Cursor& cursor) const;
  QPointF centre(const Cursor& cursor) const;
  bool rowInView() const;
  bool columnInView() const;
  QRect readoutRect() const;
  QRect messageRect() const;
  void drawCrosshair(QCPPainter* painter);
  void drawPinned(QCPPainter* painter);
  void drawCurvePoints(QCPPainter* painter, const std::vector<const MarginCurve*>& curves, std::int64_t token);
  void drawTexts(QCPPainter* painter);

  TokenLabels* labels_;
  Curves curves_;
  MapFrame frame_;
  int level_ = 0;
  std::optional<Cursor> cursor_, pinned_;
  QRect band_;
  QString message_, readout_;
};

}  // namespace headscope::ui
