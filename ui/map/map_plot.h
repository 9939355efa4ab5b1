#pragma once

// QCustomPlot for a picture that moves: one opaque image in the plot's own colour instead of two transparent ones that
// are laid over each other with every frame, and an overlay that is painted straight onto the widget, so that a move of
// the mouse costs the few pixels that change and no replot.

#include <qcustomplot.h>

#include <QRegion>

namespace headscope::ui {

class MapOverlay;

class MapPlot : public QCustomPlot {
  Q_OBJECT
 public:
  explicit MapPlot(QWidget* parent = nullptr);

  /// The colour that is behind everything. Takes effect with the next replot.
  void setGround(const QColor& color);
  void setOverlay(MapOverlay* overlay) { overlay_ = overlay; }
  /// Paints what the overlay covered and what it covers now, in the next turn of the event loop.
  void updateOverlay();
  QRegion overlayRegion() const { return painted_; }  ///< that the overlay may have touched in the last picture

 protected:
  void paintEvent(QPaintEvent* event) override;

 private:
  class Buffer;
  QSharedPointer<Buffer> buffer_;
  MapOverlay* overlay_ = nullptr;
  QRegion painted_;  ///< of the overlay, on the screen
};

}  // namespace headscope::ui
