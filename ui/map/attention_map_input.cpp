// Mouse and keys of the attention map.

#include <qcustomplot.h>

#include <QApplication>
#include <QKeyEvent>
#include <QMouseEvent>
#include <QWheelEvent>
#include <algorithm>
#include <cmath>

#include "core/maps/head_view.h"
#include "ui/map/attention_map_view.h"
#include "ui/map/map_overlay.h"
#include "ui/map/map_plot.h"
#include "ui/map/tile_plottable.h"

namespace headscope::ui {
namespace {

constexpr double kKeyZoom = 1.5;
constexpr double kWheelZoom = 1.25;  ///< one notch
constexpr double kKeyPan = 0.1;
// Cells of up to so many levels are searched for their strongest pair when the mouse is over them: 16,384 dot products.
constexpr int kSearchLevel = 7;

}  // namespace

void AttentionMapView::setViewport(const MapViewport& viewport) {
  if (session_->tokens() > 0) {
    session_->setViewport(viewport);
  }
}

void AttentionMapView::fit() {
  setViewport(session_->wholeMap());
}

void AttentionMapView::oneToOne() {
  const Cursor at = zoomCenter();
  const double pixels = std::round(frame_.rect.width() * plot_->bufferDevicePixelRatio());
  const double factor = span(viewport_) / std::min(pixels, static_cast<double>(session_->tokens()));
  setViewport(
      zoomed(viewport_, factor, static_cast<double>(at.key), static_cast<double>(at.query), session_->tokens()));
}

// The cursor if it is in view, otherwise the middle.
Cursor AttentionMapView::zoomCenter() const {
  const auto cursor = session_->cursor();
  const auto inside = [](double value, double low, double high) { return value >= low && value <= high; };
  if (cursor && inside(static_cast<double>(cursor->key), viewport_.keyLow, viewport_.keyHigh) &&
      inside(static_cast<double>(cursor->query), viewport_.queryLow, viewport_.queryHigh)) {
    return *cursor;
  }
  return {std::llround((viewport_.queryLow + viewport_.queryHigh) / 2),
          std::llround((viewport_.keyLow + viewport_.keyHigh) / 2)};
}

void AttentionMapView::zoomIn() {
  const Cursor at = zoomCenter();
  setViewport(
      zoomed(viewport_, kKeyZoom, static_cast<double>(at.key), static_cast<double>(at.query), session_->tokens()));
}

void AttentionMapView::zoomOut() {
  const Cursor at = zoomCenter();
  setViewport(
      zoomed(viewport_, 1 / kKeyZoom, static_cast<double>(at.key), static_cast<double>(at.query), session_->tokens()));
}

void AttentionMapView::panBy(double sharesRight, double sharesDown) {
  setViewport(panned(viewport_, sharesRight * span(viewport_), sharesDown * span(viewport_), session_->tokens()));
}

void AttentionMapView::zoomTo(const MapViewport& viewport) {
  setViewport(soundViewport(viewport, session_->tokens()));
}

void AttentionMapView::goTo(Cursor cell) {
  const std::int64_t last = std::max<std::int64_t>(session_->tokens() - 1, 0);
  cell.query = std::clamp<std::int64_t>(cell.query, 0, last);
  cell.key = std::clamp<std::int64_t>(cell.key, 0, last);
  setViewport(
      centered(static_cast<double>(cell.key), static_cast<double>(cell.query), span(viewport_), session_->tokens()));
  session_->pin(cell);
}

void AttentionMapView::keyPressEvent(QKeyEvent* event) {
  const bool shift = event->modifiers().testFlag(Qt::ShiftModifier);
  switch (event->key()) {
    case Qt::Key_0:
      return fit();
    case Qt::Key_1:
      return oneToOne();
    case Qt::Key_Plus:
    case Qt::Key_Equal:
      return zoomIn();
    case Qt::Key_Minus:
      return zoomOut();
    case Qt::Key_Escape:
      if (session_->pinned()) {
        return session_->pin(std::nullopt);
      }
      break;
    case Qt::Key_Left:
      if (shift) {
        return panBy(-kKeyPan, 0);
      }
      break;
    case Qt::Key_Right:
      if (shift) {
        return panBy(kKeyPan, 0);
      }
      break;
    case Qt::Key_Up:
      if (shift) {
        return panBy(0, -kKeyPan);
      }
      break;
    case Qt::Key_Down:
      if (shift) {
        return panBy(0, kKeyPan);
      }
      break;
    default:
      break;
  }
  QWidget::keyPressEvent(event);
}

bool AttentionMapView::eventFilter(QObject* watched, QEvent* event) {
  if (watched != plot_) {
    return QWidget::eventFilter(watched, event);
  }
  if (event->type() == QEvent::Leave && drag_ == Drag::None) {
    session_->setCursor(std::nullopt);
  }
  if (event->type() == QEvent::Paint && plot_->bufferDevicePixelRatio() != plot_->devicePixelRatioF()) {
    // Moved to a screen with another scale: QCustomPlot 2.1.0 doesn't notice.
    plot_->setBufferDevicePixelRatio(plot_->devicePixelRatioF());
    plot_->replot(QCustomPlot::rpQueuedReplot);
  }
  if (event->type() == QEvent::MouseButtonDblClick) {
    const auto* mouse = static_cast<QMouseEvent*>(event);
    if (mouse->button() == Qt::LeftButton && frame_.cellAt(mouse->position().x(), mouse->position().y())) {
      session_->pin(pinnedBefore_);  // its first click was none
      drag_ = Drag::None;
      fit();
      return true;
    }
  }
  return QWidget::eventFilter(watched, event);
}

void AttentionMapView::mousePressed(QMouseEvent* event) {
  setFocus(Qt::MouseFocusReason);
  if (event->button() != Qt::LeftButton || !frame_.cellAt(event->position().x(), event->position().y())) {
    return;
  }
  drag_ = event->modifiers().testFlag(Qt::AltModifier) ? Drag::Band : Drag::Pressed;
  dragStart_ = event->pos();
  dragViewport_ = viewport_;
}

void AttentionMapView::mouseMoved(QMouseEvent* event) {
  const QPoint moved = event->pos() - dragStart_;
  if (drag_ == Drag::Pressed && moved.manhattanLength() >= QApplication::startDragDistance()) {
    drag_ = Drag::Pan;
    plot_->setCursor(Qt::ClosedHandCursor);
    session_->setCursor(std::nullopt);
  }
  if (drag_ == Drag::Pan) {
    const double tokens = frame_.tokensPerPixel();
    setViewport(panned(dragViewport_, -moved.x() * tokens, -moved.y() * tokens, session_->tokens()));
  } else if (drag_ == Drag::Band) {
    overlay_->setBand(QRect(dragStart_, event->pos()).normalized() & frame_.rect);
    plot_->updateOverlay();
  } else {
    hover(event->position());
  }
}

void AttentionMapView::mouseReleased(QMouseEvent* event) {
  const Drag finished = std::exchange(drag_, Drag::None);
  if (finished == Drag::Pan) {
    plot_->unsetCursor();
    hover(event->position());
  } else if (finished == Drag::Pressed) {
    const auto cell = frame_.cellAt(event->position().x(), event->position().y());
    pinnedBefore_ = session_->pinned();
    const std::optional<Cursor> target = cell ? std::optional(strongest(*cell)) : std::nullopt;
    session_->pin(target == pinnedBefore_ ? std::nullopt : target);
  } else if (finished == Drag::Band) {
    const QRect band = QRect(dragStart_, event->pos()).normalized() & frame_.rect;
    overlay_->setBand({});
    plot_->updateOverlay();
    if (std::max(band.width(), band.height()) >= QApplication::startDragDistance()) {
      zoomTo({frame_.keyAt(band.left()), frame_.keyAt(band.right() + 1), frame_.queryAt(band.top()),
              frame_.queryAt(band.bottom() + 1)});
    }
  }
}

void AttentionMapView::wheelTurned(QWheelEvent* event) {
  const QPointF at = event->position();
  const double notches = event->angleDelta().y() / 120.0;
  if (notches == 0 || !frame_.cellAt(at.x(), at.y())) {
    return;
  }
  // Not frame_, which is the last one drawn: several turns may come between two frames.
  const MapFrame now{frame_.rect, viewport_, frame_.tokens};
  setViewport(
      zoomed(viewport_, std::pow(kWheelZoom, notches), now.keyAt(at.x()), now.queryAt(at.y()), session_->tokens()));
}

void AttentionMapView::hover(const QPointF& position) {
  const MapFrame now{frame_.rect, viewport_, frame_.tokens};
  const auto cell = now.cellAt(position.x(), position.y());
  session_->setCursor(cell ? std::optional(strongest(*cell)) : std::nullopt);
}

// Zoomed out a pixel stands for many pairs; with max-pooling it shows the strongest one, so that is what one points at.
Cursor AttentionMapView::strongest(const Cursor& cell) const {
  const int level = tiles_->level();
  if (level == 0 || level > kSearchLevel || !headView_) {
    return cell;
  }
  const std::int64_t size = std::int64_t{1} << level;
  const std::int64_t rowBegin = cell.query / size * size, keyBegin = cell.key / size * size;
  Cursor best = cell;
  float highest = -1;
  for (std::int64_t t = rowBegin; t < std::min(rowBegin + size, headView_->tokens); ++t) {
    for (std::int64_t i = keyBegin; i < std::min(keyBegin + size, t + 1); ++i) {
      const float p = headView_->probability(t, i);
      if (p > highest) {
        highest = p;
        best = {t, i};
      }
    }
  }
  return best;
}

}  // namespace headscope::ui
