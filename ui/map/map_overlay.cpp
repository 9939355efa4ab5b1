#include "ui/map/map_overlay.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "ui/style/plot_style.h"
#include "ui/style/theme.h"

namespace headscope::ui {

MapOverlay::MapOverlay(QCustomPlot* plot, TokenLabels* labels, Curves curves)
    : QCPLayerable(plot, QStringLiteral("overlay")), labels_(labels), curves_(std::move(curves)) {}

void MapOverlay::setFrame(const MapFrame& frame, int level) {
  frame_ = frame;
  level_ = level;
}

void MapOverlay::applyDefaultAntialiasingHint(QCPPainter* painter) const {
  painter->setAntialiasing(false);
}

// The drawn cell, which holds several tokens when zoomed out; at least so large that its frame can be seen.
QRectF MapOverlay::cellRect(const Cursor& cursor) const {
  const double size = std::ldexp(1.0, level_);
  const auto low = [size](std::int64_t token) { return std::floor(static_cast<double>(token) / size) * size - 0.5; };
  const double left = frame_.xOf(low(cursor.key)), top = frame_.yOf(low(cursor.query));
  const double right = frame_.xOf(low(cursor.key) + size), bottom = frame_.yOf(low(cursor.query) + size);
  QRectF rect(QPointF(left, top), QPointF(right, bottom));
  const double more = std::max(0.0, (5 - rect.width()) / 2);
  return rect.adjusted(-more, -more, more, more);
}

void MapOverlay::drawCrosshair(QCPPainter* painter) {
  const Theme& t = theme();
  const QRectF map(frame_.rect);
  const QRectF cell = cellRect(*cursor_);
  const double x = std::floor(cell.center().x()) + 0.5, y = std::floor(cell.center().y()) + 0.5;
  painter->setClipRect(map);
  // The map's colours don't change with the theme, so these don't either; a dark line under each bright one, as it must
  // be seen on yellow, on violet and on white.
  const QColor queryColor = darkTheme().query, keyColor = darkTheme().key;
  for (const bool under : {true, false}) {
    painter->setPen(under ? QPen(QColor(0, 0, 0, 110), 3) : QPen(queryColor, 1));
    painter->drawLine(QPointF(map.left(), y), QPointF(cell.left() - 1, y));
    painter->drawLine(QPointF(cell.right() + 1, y), QPointF(map.right(), y));
    painter->setPen(under ? QPen(QColor(0, 0, 0, 110), 3) : QPen(keyColor, 1));
    painter->drawLine(QPointF(x, map.top()), QPointF(x, cell.top() - 1));
    painter->drawLine(QPointF(x, cell.bottom() + 1), QPointF(x, map.bottom()));
  }
  painter->setBrush(Qt::NoBrush);
  painter->setPen(QPen(QColor(0, 0, 0, 170), 3));
  painter->drawRect(cell);
  painter->setPen(QPen(Qt::white, 1));
  painter->drawRect(cell);
  painter->setClipping(false);

  const bool rowInView = cursor_->query > frame_.viewport.queryLow && cursor_->query < frame_.viewport.queryHigh;
  const bool columnInView = cursor_->key > frame_.viewport.keyLow && cursor_->key < frame_.viewport.keyHigh;
  if (rowInView) {
    labels_->drawQueryLabel(painter, cursor_->query, t.query, t.panel);
    drawCurvePoints(painter, curves_.query, cursor_->query);
  }
  if (columnInView) {
    labels_->drawKeyLabel(painter, cursor_->key, t.key, t.panel);
    drawCurvePoints(painter, curves_.key, cursor_->key);
  }
}

void MapOverlay::drawPinned(QCPPainter* painter) {
  const QRectF cell = cellRect(*pinned_).adjusted(-1, -1, 1, 1);
  painter->setClipRect(frame_.rect);
  painter->setBrush(Qt::NoBrush);
  painter->setPen(QPen(QColor(0, 0, 0, 200), 4));
  painter->drawRect(cell);
  painter->setPen(QPen(theme().flag, 2));
  painter->drawRect(cell);
  painter->setClipping(false);
}

void MapOverlay::drawCurvePoints(QCPPainter* painter, const std::vector<const MarginCurve*>& curves,
                                 std::int64_t token) {
  painter->setAntialiasing(true);
  for (const MarginCurve* curve : curves) {
    const double value = curve->valueAt(token);
    if (!std::isnan(value)) {
      const QPointF point = curve->pointAt(token);
      painter->setPen(QPen(theme().field, 1));
      painter->setBrush(curve->pen().color());
      painter->drawEllipse(point, 3.5, 3.5);
    }
  }
  painter->setAntialiasing(false);
}

void MapOverlay::drawTexts(QCPPainter* painter) {
  const Theme& t = theme();
  painter->setFont(smallFont());
  const QFontMetrics metrics(smallFont());
  if (!readout_.isEmpty()) {
    const QRect box(frame_.rect.right() - metrics.horizontalAdvance(readout_) - 16, frame_.rect.top() + 8,
                    metrics.horizontalAdvance(readout_) + 12, metrics.height() + 4);
    QColor ground = t.panel;
    ground.setAlpha(220);
    painter->fillRect(box, ground);
    painter->setPen(t.text);
    painter->drawText(box, Qt::AlignCenter, readout_);
  }
  if (!message_.isEmpty()) {
    painter->setFont(textFont());
    painter->setPen(t.muted);
    const QRect upper(frame_.rect.left() + frame_.rect.width() / 3, frame_.rect.top() + frame_.rect.height() / 6,
                      frame_.rect.width() * 2 / 3 - 12, frame_.rect.height() / 4);
    painter->drawText(upper, Qt::AlignRight | Qt::AlignVCenter | Qt::TextWordWrap, message_);
  }
}

void MapOverlay::draw(QCPPainter* painter) {
  if (!frame_.valid()) {
    return;
  }
  if (pinned_) {
    drawPinned(painter);
  }
  if (cursor_) {
    drawCrosshair(painter);
  }
  if (!band_.isNull()) {
    QColor fill = theme().accent;
    fill.setAlpha(50);
    painter->setClipRect(frame_.rect);
    painter->setPen(QPen(theme().accent, 1));
    painter->setBrush(fill);
    painter->drawRect(band_);
    painter->setClipping(false);
  }
  drawTexts(painter);
}

}  // namespace headscope::ui
