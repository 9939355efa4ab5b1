// How the wall looks: KV brackets and head names above, layer names at the left, cells, marks.

#include <QFontMetrics>
#include <QPaintEvent>
#include <QPainter>
#include <QScrollBar>
#include <cmath>

#include "ui/heads/heads_wall.h"
#include "ui/style/color_map.h"
#include "ui/style/plot_style.h"
#include "ui/style/theme.h"

namespace headscope::ui {
namespace {

constexpr double kUnmatched = 0.18;  // opacity of heads that the filter leaves out

// Every n-th label, so that labels of `width` never touch.
int labelStep(int width, int pitch) {
  int step = 1;
  while (step * pitch < width + kSpacing) {
    step *= 2;
  }
  return step;
}

}  // namespace

void HeadsWall::paintEvent(QPaintEvent*) {
  QPainter painter(viewport());
  painter.setFont(smallFont());
  if (layout_.order().empty()) {
    painter.setPen(theme().muted);
    painter.drawText(
        viewport()->rect().adjusted(kMargin, kMargin, -kMargin, -kMargin),
        Qt::AlignHCenter | Qt::AlignTop | Qt::TextWordWrap,
        session_->layers() == 0 ? tr("The heads of the model appear here.") : tr("No head matches the filter."));
    return;
  }
  painter.save();
  painter.setClipRect(
      viewport()->rect().adjusted(layout_.ranked() ? 0 : kMargin + gutterWidth() - kSpacing, headerHeight() - 3, 0, 0));
  for (const std::size_t index : layout_.within(visibleContent())) {
    paintCell(painter, index);
  }
  painter.restore();
  if (!layout_.ranked()) {
    paintLayerNames(painter);
    paintHeader(painter);
  }
}

void HeadsWall::paintHeader(QPainter& painter) const {
  const Theme& t = theme();
  const QFontMetrics metrics(painter.font());
  const int left = offset().x();
  painter.save();
  painter.setClipRect(QRect(kMargin + gutterWidth() - kSpacing, 0, viewport()->width(), headerHeight()));
  int top = 0;
  if (session_->kvHeads() > 0 && layout_.groups() > 0) {
    const int step =
        labelStep(metrics.horizontalAdvance(QStringLiteral("kv 00")), layout_.group(0).width() + WallLayout::kGroupGap);
    for (int group = 0; group < layout_.groups(); ++group) {
      const QRect span = layout_.group(group).translated(left, 0);
      painter.setPen(t.muted);
      if (group % step == 0) {
        painter.drawText(QRect(span.center().x() - 40, top, 80, metrics.height()), Qt::AlignCenter,
                         tr("kv %1").arg(group));
      }
      painter.setPen(t.bound);
      const int y = top + metrics.height() + 1;
      painter.drawLine(span.left(), y, span.right(), y);
      painter.drawLine(span.left(), y, span.left(), y + 2);
      painter.drawLine(span.right(), y, span.right(), y + 2);
    }
    top += metrics.height() + kSpacing + 1;
  }
  const int step = labelStep(metrics.horizontalAdvance(QStringLiteral("H%1").arg(session_->heads() - 1)) - kSpacing,
                             layout_.side() + WallLayout::kGap);
  for (int head = 0; head < session_->heads(); head += step) {
    const QRect span = layout_.column(head).translated(left, 0);
    painter.setPen(head == session_->selected().head ? t.text : t.muted);
    painter.drawText(QRect(span.center().x() - 30, top, 60, metrics.height()), Qt::AlignCenter,
                     QStringLiteral("H%1").arg(head));
  }
  painter.restore();
}

void HeadsWall::paintLayerNames(QPainter& painter) const {
  const Theme& t = theme();
  const QFontMetrics metrics(painter.font());
  const int step = labelStep(metrics.height() - kSpacing, layout_.side() + WallLayout::kGap);
  painter.save();
  painter.setClipRect(viewport()->rect().adjusted(0, headerHeight() - 3, 0, 0));
  for (std::size_t line = 0; line < layout_.layers().size(); line += static_cast<std::size_t>(step)) {
    const QRect row = layout_.row(line).translated(0, offset().y());
    if (row.bottom() >= 0 && row.top() <= viewport()->height()) {
      painter.setPen(layout_.layers()[line] == session_->selected().layer ? t.text : t.muted);
      painter.drawText(QRect(kMargin, row.top() - kSpacing, gutterWidth() - 2 * kSpacing, row.height() + 2 * kSpacing),
                       Qt::AlignRight | Qt::AlignVCenter, QStringLiteral("L%1").arg(layout_.layers()[line]));
    }
  }
  painter.restore();
}

void HeadsWall::paintGround(QPainter& painter, HeadId head, const QRect& rect) {
  const Theme& t = theme();
  if (colorBy_) {
    const double value = scores_.value(head, *colorBy_);
    const double span = colorRange_.second - colorRange_.first;
    painter.fillRect(
        rect, std::isnan(value)
                  ? QBrush(t.field)
                  : QBrush(QColor(ColorMap::named(session_->style().colorMap).at((value - colorRange_.first) / span))));
    return;
  }
  const QImage* image = thumbnails_.image(head, session_->style(), session_->tokens(), t.noValue.rgb());
  if (image == nullptr) {
    painter.fillRect(rect, t.field);
    return;
  }
  painter.setRenderHint(QPainter::SmoothPixmapTransform,
                        image->width() > rect.width() * devicePixelRatioF() || session_->tokens() > image->width());
  painter.drawImage(rect, *image);
}

void HeadsWall::paintCell(QPainter& painter, std::size_t index) {
  const Theme& t = theme();
  const HeadId head = layout_.order()[index];
  const QRect rect = layout_.cell(index).translated(offset());
  painter.setOpacity(matches(head) ? 1.0 : kUnmatched);
  paintGround(painter, head, rect);
  painter.setOpacity(1.0);
  if (session_->flagged(head)) {
    const int corner = std::clamp(rect.width() / 3, 6, 14);
    painter.setRenderHint(QPainter::Antialiasing);
    painter.setPen(QPen(t.panel, 1));
    painter.setBrush(t.flag);
    painter.drawPolygon(QPolygon({rect.topRight() + QPoint(1 - corner, 0), rect.topRight() + QPoint(1, 0),
                                  rect.topRight() + QPoint(1, corner)}));
    painter.setRenderHint(QPainter::Antialiasing, false);
  }
  painter.setBrush(Qt::NoBrush);
  if (head == session_->selected()) {
    painter.setPen(QPen(t.accent, 2));
    painter.drawRect(QRectF(rect).adjusted(-1, -1, 1, 1));
  } else if (hovered_ == head) {
    painter.setPen(QPen(t.text, 1));
    painter.drawRect(rect.adjusted(-1, -1, 0, 0));
  }
  if (layout_.ranked()) {
    const int line = QFontMetrics(painter.font()).height();
    const QRect caption(rect.left() - 2, rect.bottom() + 1, rect.width() + 4, line);
    painter.setPen(head == session_->selected() ? t.text : t.muted);
    painter.drawText(caption, Qt::AlignCenter, QStringLiteral("%1·%2").arg(head.layer).arg(head.head));
    painter.setPen(t.text);
    painter.drawText(caption.translated(0, line - 1), Qt::AlignCenter, formatValue(scores_.value(head, *sortBy_)));
  }
}

}  // namespace headscope::ui
