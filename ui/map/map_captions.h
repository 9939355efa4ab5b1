#pragma once

// Names of axes and curves around the map, and the diagonals at the dominant channel's period.

#include <qcustomplot.h>

#include <QColor>
#include <QVector>
#include <optional>

#include "ui/map/map_geometry.h"

namespace headscope::ui {

class MapCaptions : public QCPLayerable {
  Q_OBJECT
 public:
  struct Caption {
    QRect rect;  ///< logical pixels
    Qt::Alignment alignment = Qt::AlignLeft;
    QString text;
    QColor color;
  };

  explicit MapCaptions(QCustomPlot* plot) : QCPLayerable(plot, QStringLiteral("axes")) {}
  void set(const QVector<Caption>& captions) { captions_ = captions; }

 protected:
  void applyDefaultAntialiasingHint(QCPPainter* painter) const override { painter->setAntialiasing(false); }
  void draw(QCPPainter* painter) override;

 private:
  QVector<Caption> captions_;
};

/// Faint dashed lines t − i = n · period where they are at least some pixels apart.
class PeriodLines : public QCPLayerable {
  Q_OBJECT
 public:
  PeriodLines(QCustomPlot* plot, const QString& layer) : QCPLayerable(plot, layer) {}
  void set(const MapFrame& frame, std::optional<double> period);
  bool shown() const;  ///< they are far enough apart at this zoom

 protected:
  void applyDefaultAntialiasingHint(QCPPainter* painter) const override { painter->setAntialiasing(true); }
  QRect clipRect() const override { return frame_.rect; }
  void draw(QCPPainter* painter) override;

 private:
  MapFrame frame_;
  std::optional<double> period_;
};

}  // namespace headscope::ui
