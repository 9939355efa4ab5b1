#include "ui/heads/head_card.h"

#include <QFontMetrics>
#include <QGuiApplication>
#include <QPainter>
#include <QScreen>
#include <algorithm>

#include "ui/style/plot_style.h"
#include "ui/style/theme.h"

namespace headscope::ui {
namespace {

constexpr int kPad = 3 * kSpacing;
constexpr int kLineGap = kSpacing / 2;
constexpr int kColumnGap = 4 * kSpacing;

}  // namespace

HeadCard::HeadCard(QWidget* parent) : QWidget(parent, Qt::ToolTip | Qt::FramelessWindowHint) {
  setAttribute(Qt::WA_TransparentForMouseEvents);
  setAttribute(Qt::WA_ShowWithoutActivating);
  setObjectName(QStringLiteral("headCard"));
}

void HeadCard::show(const Session& session, const ScoreTable& scores, HeadId head, std::optional<int> wanted,
                    const QRect& besideGlobal) {
  std::vector<int> five{metricOf(Score::SinkMass), metricOf(Score::PreviousToken), metricOf(Score::Induction),
                        metricOf(Score::Entropy), metricOf(Score::QSimilarityConsecutive)};
  if (wanted && std::find(five.begin(), five.end(), *wanted) == five.end()) {
    five.back() = *wanted;
  }
  title_ = QStringLiteral("L%1 · H%2").arg(head.layer).arg(head.head);
  if (session.kvHeads() > 0) {
    title_ += tr(" · kv %1").arg(head.head / std::max(1, session.heads() / session.kvHeads()));
  }
  const HeadReport* report = scores.find(head);
  remark_ = report != nullptr ? caseName(report->cases.label) : tr("no scores yet");
  flagged_ = session.flagged(head);
  note_ = flagged_ ? (session.note(head).isEmpty() ? tr("flagged") : session.note(head)) : QString();
  lines_.clear();
  for (const int metric : five) {
    const Metric& known = metrics()[static_cast<std::size_t>(metric)];
    lines_.push_back(
        {known.label, formatValue(scores.value(head, metric)),
         known.unit == QLatin1String("nats") || known.unit == QLatin1String("tokens") ? known.unit : QString()});
  }
  resize(wantedSize());
  const QScreen* screen = QGuiApplication::screenAt(besideGlobal.center());
  const QRect room = screen != nullptr ? screen->availableGeometry() : QRect(0, 0, 1 << 20, 1 << 20);
  QPoint place(besideGlobal.right() + 2 * kSpacing, besideGlobal.top());
  if (place.x() + width() > room.right()) {
    place.setX(besideGlobal.left() - 2 * kSpacing - width());
  }
  place.setY(std::clamp(place.y(), room.top(), std::max(room.top(), room.bottom() - height())));
  move(place);
  setVisible(true);
  update();
}

QStringList HeadCard::lines() const {
  QStringList all{title_, remark_};
  for (const Line& line : lines_) {
    all.append(line.label + QLatin1Char(' ') + line.value +
               (line.unit.isEmpty() ? QString() : QLatin1Char(' ') + line.unit));
  }
  if (!note_.isEmpty()) {
    all.append(note_);
  }
  return all;
}

QSize HeadCard::wantedSize() const {
  const QFontMetrics text(textFont());
  const QFontMetrics bold(boldFont());
  int widest = bold.horizontalAdvance(title_) + kColumnGap + text.horizontalAdvance(remark_);
  for (const Line& line : lines_) {
    widest = std::max(widest, text.horizontalAdvance(line.label) + kColumnGap +
                                  text.horizontalAdvance(line.value + QLatin1Char(' ') + line.unit));
  }
  widest = std::max(widest, std::min(text.horizontalAdvance(note_) + 16, 320));
  const int count = static_cast<int>(lines_.size()) + (note_.isEmpty() ? 1 : 2);
  return {widest + 2 * kPad, count * (text.height() + kLineGap) + 2 * kPad};
}

void HeadCard::paintEvent(QPaintEvent*) {
  const Theme& t = theme();
  QPainter painter(this);
  painter.setPen(t.line);
  painter.setBrush(t.field);
  painter.drawRect(rect().adjusted(0, 0, -1, -1));
  const QFontMetrics metrics(textFont());
  const int step = metrics.height() + kLineGap;
  QRect line(kPad, kPad, width() - 2 * kPad, metrics.height());
  painter.setFont(boldFont());
  painter.setPen(t.text);
  painter.drawText(line, Qt::AlignLeft | Qt::AlignVCenter, title_);
  painter.setFont(textFont());
  painter.setPen(t.muted);
  painter.drawText(line, Qt::AlignRight | Qt::AlignVCenter, remark_);
  for (const Line& entry : lines_) {
    line.translate(0, step);
    painter.setPen(t.muted);
    painter.drawText(line, Qt::AlignLeft | Qt::AlignVCenter, entry.label);
    painter.setPen(t.text);
    painter.drawText(line, Qt::AlignRight | Qt::AlignVCenter,
                     entry.unit.isEmpty() ? entry.value : entry.value + QLatin1Char(' ') + entry.unit);
  }
  if (!note_.isEmpty()) {
    line.translate(0, step);
    painter.fillRect(QRect(line.left(), line.center().y() - 4, 8, 8), t.flag);
    painter.setPen(t.text);
    painter.drawText(line.adjusted(14, 0, 0, 0), Qt::AlignLeft | Qt::AlignVCenter,
                     metrics.elidedText(note_.simplified(), Qt::ElideRight, line.width() - 14));
  }
}

}  // namespace headscope::ui
