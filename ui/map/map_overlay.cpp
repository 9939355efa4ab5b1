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

// Of the crosshair's lines: the middle of a pixel.
QPointF MapOverlay::centre(const Cursor& cursor) const {
  const QPointF middle = cellRect(cursor).center();
  return {std::floor(middle.x()) + 0.5, std::floor(middle.y()) + 0.5};
}

bool MapOverlay::rowInView() const {
  const auto query = static_cast<double>(cursor_->query);
  return query > frame_.viewport.queryLow && query < frame_.viewport.queryHigh;
}

bool MapOverlay::columnInView() const {
  const auto key = static_cast<double>(cursor_->key);
  return key > frame_.viewport.keyLow && key < frame_.viewport.keyHigh;
}

QRect MapOverlay::readoutRect() const {
  const QFontMetrics metrics(smallFont());
  const int width = metrics.horizontalAdvance(readout_);
  return {frame_.rect.right() - width - 16, frame_.rect.top() + 8, width + 12, metrics.height() + 4};
}

QRect MapOverlay::messageRect() const {
  return {frame_.rect.left() + frame_.rect.width() / 3, frame_.rect.top() + frame_.rect.height() / 6,
          frame_.rect.width() * 2 / 3 - 12, frame_.rect.height() / 4};
}

QRegion MapOverlay::region() const {
  constexpr int kPen = 3, kPoint = 6;  // reach of pens and of points on the curves
  QRegion region;
  if (!frame_.valid()) {
    return region;
  }
  const auto around = [](const QRectF& rect, int reach) {
    return rect.toAlignedRect().adjusted(-reach, -reach, reach, reach);
  };
  if (pinned_) {
    region |= around(cellRect(*pinned_), 2 * kPen) & frame_.rect;
  }
  if (cursor_) {
    const QPoint at = centre(*cursor_).toPoint();
    region |= QRect(frame_.rect.left(), at.y() - kPen, frame_.rect.width(), 2 * kPen);
    region |= QRect(at.x() - kPen, frame_.rect.top(), 2 * kPen, frame_.rect.height());
    region |= around(cellRect(*cursor_), kPen) & frame_.rect;
    if (rowInView()) {
      region |= labels_->queryLabelReach(cursor_->query);
    }
    if (columnInView()) {
      region |= labels_->keyLabelReach(cursor_->key);
    }
    const auto addPoints = [&](const std::vector<const MarginCurve*>& curves, std::int64_t token) {
      for (const MarginCurve* curve : curves) {
        if (!std::isnan(curve->valueAt(token))) {
          region |= around(QRectF(curve->pointAt(token), QSizeF(0, 0)), kPoint);
        }
      }
    };
    addPoints(curves_.query, cursor_->query);
    addPoints(curves_.key, cursor_->key);
  }
  if (!band_.isNull()) {
    region |= around(band_, kPen);
  }
  if (!readout_.isEmpty()) {
    region |= readoutRect();
  }
  if (!message_.isEmpty()) {
    region |= messageRect();
  }
  return region;
}

void MapOverlay::drawCrosshair(QCPPainter* painter) {
  const Theme& t = theme();
  const QRectF map(frame_.rect);
  const QRectF cell = cellRect(*cursor_);
  const double x = centre(*cursor_).x(), y = centre(*cursor_).y();
  painter->save();
  painter->setClipRect(map, Qt::IntersectClip);
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
  painter->restore();

  if (rowInView()) {
    labels_->drawQueryLabel(painter, cursor_->query, t.query, t.panel);
    drawCurvePoints(painter, curves_.query, cursor_->query);
  }
  if (columnInView()) {
    labels_->drawKeyLabel(painter, cursor_->key, t.key, t.panel);
    drawCurvePoints(painter, curves_.key, cursor_->key);
  }
}

void MapOverlay::drawPinned(QCPPainter* painter) {
  const QRectF cell = cellRect(*pinned_).adjusted(-1, -1, 1, 1);
  painter->save();
  painter->setClipRect(frame_.rect, Qt::IntersectClip);
  painter->setBrush(Qt::NoBrush);
  painter->setPen(QPen(QColor(0, 0, 0, 200), 4));
  painter->drawRect(cell);
  painter->setPen(QPen(theme().flag, 2));
  painter->drawRect(cell);
  painter->restore();
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
  if (!readout_.isEmpty()) {
    const QRect box = readoutRect();
    QColor ground = t.panel;
    ground.setAlpha(220);
    painter->fillRect(box, ground);
    painter->setPen(t.text);
    painter->drawText(box, Qt::AlignCenter, readout_);
  }
  if (!message_.isEmpty()) {
    painter->setFont(textFont());
    painter->setPen(t.muted);
    painter->drawText(messageRect(), Qt::AlignRight | Qt::AlignVCenter | Qt::TextWordWrap, message_);
  }
}

void MapOverlay::draw(QCPPainter* painter) {
  if (painter->modes().testFlag(QCPPainter::pmNoCaching)) {
    paint(painter);
  }
}

void MapOverlay::paint(QCPPainter* painter) {
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
    painter->setPen(QPen(theme().accent, 1));
    painter->setBrush(fill);
    painter->drawRect(band_);
    painter->setBrush(Qt::NoBrush);
  }
  drawTexts(painter);
}

}  // namespace headscope::ui
