#include "ui/head/figure_rows.h"

#include <QFontMetrics>
#include <QHelpEvent>
#include <QMouseEvent>
#include <QPainter>
#include <QToolTip>
#include <algorithm>

#include "ui/style/theme.h"

namespace headscope::ui {
namespace {

constexpr double kStripShare = 0.34;

}  // namespace

FigureRows::FigureRows(QWidget* parent) : QWidget(parent) {
  setSizePolicy(QSizePolicy::Preferred, QSizePolicy::Fixed);
  setCursor(Qt::WhatsThisCursor);
}

void FigureRows::setRows(std::vector<FigureRow> rows) {
  const bool resized = rows.size() != rows_.size();
  rows_ = std::move(rows);
  QStringList spoken;
  for (const FigureRow& row : rows_) {
    spoken.append(row.label + QLatin1Char(' ') + row.value + QLatin1Char(' ') + row.unit);
  }
  setAccessibleDescription(spoken.join(QStringLiteral("; ")));
  if (resized) {
    updateGeometry();
  }
  update();
}

int FigureRows::lineHeight() const {
  return QFontMetrics(textFont()).height() + kSpacing;
}

QSize FigureRows::sizeHint() const {
  return {260, static_cast<int>(rows_.size()) * lineHeight()};
}

int FigureRows::rowAt(int y) const {
  const int row = y / lineHeight();
  return y >= 0 && row < static_cast<int>(rows_.size()) ? row : -1;
}

void FigureRows::paintEvent(QPaintEvent*) {
  const Theme& t = theme();
  QPainter painter(this);
  const QFont mono = monoFont();
  const QFontMetrics values(mono);
  const int stripWidth = static_cast<int>(width() * kStripShare);
  int valueWidth = 0;
  for (const FigureRow& row : rows_) {
    valueWidth = std::max(valueWidth, values.horizontalAdvance(row.value));
  }
  valueWidth = std::max(valueWidth, values.horizontalAdvance(QStringLiteral("0.0000")));
  for (std::size_t i = 0; i < rows_.size(); ++i) {
    const FigureRow& row = rows_[i];
    const QRect line(0, static_cast<int>(i) * lineHeight(), width(), lineHeight());
    const int valueRight = line.right() - stripWidth - 3 * kSpacing;
    const QRect label(0, line.top(), valueRight - valueWidth - kSpacing, line.height());
    painter.setFont(row.strong ? boldFont() : textFont());
    painter.setPen(t.text);
    const QFontMetrics metrics(painter.font());
    const QString name = metrics.elidedText(row.label, Qt::ElideRight, label.width());
    painter.drawText(label, Qt::AlignLeft | Qt::AlignVCenter, name);
    const int used = metrics.horizontalAdvance(name) + kSpacing;
    if (!row.unit.isEmpty()) {
      painter.setFont(smallFont());
      painter.setPen(t.muted);
      const QRect room = label.adjusted(used, 0, 0, 0);
      if (QFontMetrics(smallFont()).horizontalAdvance(row.unit) <= room.width()) {
        painter.drawText(room, Qt::AlignLeft | Qt::AlignVCenter, row.unit);
      }
    }
    painter.setFont(mono);
    painter.setPen(t.text);
    painter.drawText(QRect(valueRight - valueWidth, line.top(), valueWidth, line.height()),
                     Qt::AlignRight | Qt::AlignVCenter, row.value);
    paintStrip(painter, row, QRect(line.right() - stripWidth, line.top(), stripWidth, line.height()));
  }
}

void FigureRows::paintStrip(QPainter& painter, const FigureRow& row, const QRect& strip) const {
  const Theme& t = theme();
  const int middle = strip.center().y();
  const QRect ground(strip.left(), middle - 5, strip.width(), 11);
  const auto x = [&ground](double position) {
    return ground.left() + std::clamp(position, 0.0, 1.0) * (ground.width() - 3);
  };
  painter.setPen(Qt::NoPen);
  painter.setBrush(t.field);
  painter.drawRoundedRect(ground, 2, 2);
  QColor faint = t.muted;
  faint.setAlphaF(std::clamp(10.0 / (10.0 + static_cast<double>(row.others.size())), 0.12, 0.5));
  for (const float other : row.others) {
    painter.fillRect(QRectF(x(other) + 1, ground.top() + 2, 1, ground.height() - 4), faint);
  }
  if (row.position) {
    if (row.bar) {
      painter.setBrush(row.strong ? t.accent : t.muted);
      painter.drawRoundedRect(
          QRectF(ground.left(), ground.top() + 2, x(*row.position) + 3 - ground.left(), ground.height() - 4), 2, 2);
    } else {
      painter.fillRect(QRectF(x(*row.position), ground.top(), 3, ground.height()), t.accent);
    }
  }
  if (row.threshold) {
    painter.fillRect(QRectF(x(*row.threshold) + 1, ground.top() - 1, 1, ground.height() + 2), theme().muted);
  }
  if (row.predicted) {
    painter.setBrush(Qt::NoBrush);
    painter.setPen(QPen(t.text, 1));
    painter.drawRect(QRectF(x(*row.predicted) - 1, ground.top(), 4, ground.height() - 1));
  }
}

void FigureRows::mouseReleaseEvent(QMouseEvent* event) {
  const int row = rowAt(event->position().toPoint().y());
  if (row >= 0 && !rows_[static_cast<std::size_t>(row)].page.isEmpty()) {
    Q_EMIT helpAsked(rows_[static_cast<std::size_t>(row)].page, rows_[static_cast<std::size_t>(row)].topic);
  }
}

bool FigureRows::event(QEvent* event) {
  if (event->type() == QEvent::ToolTip) {
    const auto* help = static_cast<QHelpEvent*>(event);
    const int row = rowAt(help->y());
    QToolTip::showText(help->globalPos(), row >= 0 ? rows_[static_cast<std::size_t>(row)].tip : QString(), this);
    return true;
  }
  return QWidget::event(event);
}

}  // namespace headscope::ui
