#include "ui/map/map_plot.h"

#include <QImage>
#include <QPaintEvent>

#include "ui/map/map_overlay.h"

namespace headscope::ui {

// Opaque, in the format of a window: to clear it is to fill it, to show it is to copy it.
class MapPlot::Buffer : public QCPAbstractPaintBuffer {
 public:
  Buffer(const QSize& size, double ratio) : QCPAbstractPaintBuffer(size, ratio) { reallocateBuffer(); }

  void setGround(const QColor& color) { ground_ = color; }

  QCPPainter* startPainting() override { return new QCPPainter(&image_); }
  void draw(QCPPainter* painter) const override { painter->drawImage(0, 0, image_); }
  void clear(const QColor&) override { image_.fill(ground_); }

 protected:
  void reallocateBuffer() override {
    setInvalidated();
    const QSize pixels = (QSizeF(mSize) * mDevicePixelRatio).toSize().expandedTo({1, 1});
    image_ = QImage(pixels, QImage::Format_RGB32);
    image_.setDevicePixelRatio(mDevicePixelRatio);
    image_.fill(ground_);
  }

 private:
  QImage image_;
  QColor ground_;
};

MapPlot::MapPlot(QWidget* parent) : QCustomPlot(parent) {
  layer(QStringLiteral("overlay"))->setMode(QCPLayer::lmLogical);  // all layers share one buffer
  buffer_ = QSharedPointer<Buffer>::create(viewport().size(), bufferDevicePixelRatio());
  mPaintBuffers = {buffer_};
}

void MapPlot::setGround(const QColor& color) {
  setBackground(QBrush(color));  // for what is exported
  buffer_->setGround(color);
}

void MapPlot::updateOverlay() {
  if (overlay_) {
    update(painted_ | overlay_->region());
  }
}

void MapPlot::paintEvent(QPaintEvent* event) {
  QCPPainter painter(this);
  if (!painter.isActive()) {
    return;
  }
  for (const QRect& rect : event->region()) {  // one by one: a region is clipped pixel by pixel, a rectangle copied
    painter.setClipRect(rect);
    buffer_->draw(&painter);
  }
  if (overlay_) {
    painter.setClipping(false);  // to what the event leaves free
    overlay_->paint(&painter);
    painted_ = overlay_->region();
  }
}

}  // namespace headscope::ui
