#include "ui/text/token_strip.h"

#include <QHelpEvent>
#include <QMouseEvent>
#include <QPainter>
#include <QScrollBar>
#include <QToolTip>
#include <algorithm>
#include <cmath>

#include "ui/style/plot_style.h"
#include "ui/style/theme.h"

namespace headscope::ui {
namespace {

constexpr int kPad = 3 * kSpacing;
constexpr int kDelayMs = 12;
constexpr double kFloor = 1e-3;  // of the log scale: fainter attention leaves the ground as it is
constexpr double kStrongest = 0.75;

}  // namespace

TokenStrip::TokenStrip(Engine* engine, Session* session, QWidget* parent)
    : QAbstractScrollArea(parent), engine_(engine), session_(session) {
  setObjectName(QStringLiteral("tokenStrip"));
  setAccessibleName(tr("Text"));
  setFrameShape(QFrame::NoFrame);
  setFocusPolicy(Qt::ClickFocus);
  viewport()->setMouseTracking(true);
  viewport()->setAutoFillBackground(false);
  setHorizontalScrollBarPolicy(Qt::ScrollBarAlwaysOff);
  timer_.setSingleShot(true);
  timer_.setInterval(kDelayMs);
  connect(&timer_, &QTimer::timeout, this, &TokenStrip::request);
  connect(session_, &Session::captureChanged, this, &TokenStrip::captureChanged);
  for (const auto signal :
       {&Session::cursorChanged, &Session::pinChanged, &Session::selectionChanged, &Session::interventionsChanged}) {
    connect(session_, signal, this, &TokenStrip::cellChanged);
  }
  connect(session_, &Session::styleChanged, viewport(), [this] { viewport()->update(); });
  connect(session_, &Session::layerReady, this, [this] { timer_.start(); });
  connect(engine_, &Engine::rowReady, this, [this](HeadId head, qint64 query, const QVector<float>& values) {
    setValues(Side::Row, head, query, values);
  });
  connect(engine_, &Engine::columnReady, this, [this](HeadId head, qint64 key, const QVector<float>& values) {
    setValues(Side::Column, head, key, values);
  });
  connect(&Appearance::instance(), &Appearance::changed, this, &TokenStrip::captureChanged);
  captureChanged();
}

void TokenStrip::setSide(Side side) {
  if (side != side_) {
    side_ = side;
    shown_.reset();
    values_.clear();
    cellChanged();
    viewport()->update();
  }
}

std::optional<Cursor> TokenStrip::cell() const {
  return session_->cursor() ? session_->cursor() : session_->pinned();
}

void TokenStrip::captureChanged() {
  const QFont font = monoFont(kTextPoints + 1);
  lineHeight_ = QFontMetrics(font).height() + 2 * kSpacing;
  const auto capture = session_->capture();
  lines_.setTokens(capture ? capture->header().tokens : std::vector<std::string>{}, font);
  lines_.setWidth(viewport()->width() - 2 * kPad);
  values_.clear();
  shown_.reset();
  hovered_.reset();
  updateScrollBar();
  cellChanged();
  viewport()->update();
}

void TokenStrip::setContinuation(const QString& text) {
  lines_.setContinuation(text);
  updateScrollBar();
  viewport()->update();
}

void TokenStrip::updateScrollBar() {
  const int height = lines_.lines() * lineHeight_ + kSpacing;
  verticalScrollBar()->setRange(0, std::max(0, height - viewport()->height()));
  verticalScrollBar()->setPageStep(viewport()->height());
  verticalScrollBar()->setSingleStep(lineHeight_);
}

void TokenStrip::cellChanged() {
  timer_.start();
  viewport()->update();
  Q_EMIT remarkChanged();
}

void TokenStrip::request() {
  const auto capture = session_->capture();
  const auto at = cell();
  const HeadId head = session_->selected();
  if (!capture || !at || !isVisible() || head.layer >= capture->header().layers || !capture->ready(head.layer)) {
    return;
  }
  if (side_ == Side::Row && at->query < capture->tokens()) {
    engine_->requestRow(capture, head, session_->interventions(), at->query);
  } else if (side_ == Side::Column && at->key < capture->tokens()) {
    engine_->requestColumn(capture, head, session_->interventions(), at->key);
  }
}

void TokenStrip::setValues(Side side, HeadId head, qint64 index, const QVector<float>& values) {
  const auto at = cell();
  if (side != side_ || head != session_->selected() || !at || index != (side == Side::Row ? at->query : at->key)) {
    return;
  }
  values_ = values;
  shown_ = index;
  viewport()->update();
}

QString TokenStrip::remark() const {
  const auto at = cell();
  if (lines_.count() == 0) {
    return {};
  }
  if (!at) {
    return tr("move over the map, or click a token, to colour the text by its attention");
  }
  const std::int64_t token = side_ == Side::Row ? at->query : at->key;
  const QString name = token < lines_.count() ? lines_.text(token).trimmed() : QString();
  return (side_ == Side::Row ? tr("what query %1 “%2” looks at") : tr("who looks at key %1 “%2”"))
      .arg(formatCount(token), name);
}

double TokenStrip::strength(std::int64_t token) const {
  if (token >= values_.size()) {
    return 0;
  }
  const double value = static_cast<double>(values_[token]);
  if (!(value > 0)) {
    return 0;
  }
  return session_->style().scale == ColorScale::Log ? std::clamp(1 - std::log(value) / std::log(kFloor), 0.0, 1.0)
                                                    : std::clamp(value, 0.0, 1.0);
}

bool TokenStrip::isBefore(std::int64_t token) const {
  const auto at = cell();
  return token < lines_.count() && (!at || (side_ == Side::Row ? token <= at->query : token >= at->key));
}

QRect TokenStrip::tokenOnScreen(std::int64_t token) const {
  const int line = lines_.lineOf(token);
  return {kPad + lines_.x(token), line * lineHeight_ - verticalScrollBar()->value(), lines_.width(token), lineHeight_};
}

void TokenStrip::showToken(std::int64_t token) {
  if (token >= 0 && token < lines_.count()) {
    const QRect rect = tokenOnScreen(token);
    if (rect.top() < 0 || rect.bottom() > viewport()->height()) {
      verticalScrollBar()->setValue(lines_.lineOf(token) * lineHeight_ - viewport()->height() / 2);
    }
  }
}

void TokenStrip::paintEvent(QPaintEvent* event) {
  QPainter painter(viewport());
  if (lines_.shown() == 0) {
    painter.setFont(textFont());
    painter.setPen(theme().muted);
    const QString text = session_->capture() ? tr("This capture was saved without its text.")
                                             : tr("The text of the run appears here, coloured by attention.");
    painter.drawText(viewport()->rect().adjusted(kPad, kSpacing, -kPad, 0), Qt::AlignLeft | Qt::AlignTop, text);
    return;
  }
  painter.setFont(monoFont(kTextPoints + 1));
  const int scroll = verticalScrollBar()->value();
  const int firstLine = std::max(0, (event->rect().top() + scroll) / lineHeight_);
  const int lastLine = std::min(lines_.lines() - 1, (event->rect().bottom() + scroll) / lineHeight_);
  for (int line = firstLine; line <= lastLine; ++line) {
    for (std::int64_t token = lines_.first(line); token < lines_.end(line); ++token) {
      paintToken(painter, token, tokenOnScreen(token));
    }
  }
}

void TokenStrip::paintToken(QPainter& painter, std::int64_t token, const QRect& rect) const {
  const Theme& t = theme();
  const auto at = cell();
  const QRect box = rect.adjusted(0, 2, 0, -2);
  if (at && shown_) {
    const double amount = strength(token);
    if (amount > 0) {
      QColor ground = side_ == Side::Row ? t.key : t.query;
      ground.setAlphaF(kStrongest * amount);
      painter.fillRect(box, ground);
    }
  }
  if (hovered_ == token) {
    QColor ground = t.hover;
    ground.setAlphaF(0.6);
    painter.fillRect(box, ground);
  }
  painter.setPen(isBefore(token) ? t.text : t.disabled);
  painter.drawText(rect, Qt::AlignLeft | Qt::AlignVCenter | Qt::TextDontClip, lines_.text(token));
  if (at && token < lines_.count() && (token == at->query || token == at->key)) {
    painter.setRenderHint(QPainter::Antialiasing);
    painter.setBrush(Qt::NoBrush);
    painter.setPen(QPen(token == at->query ? t.query : t.key, 1.5));
    painter.drawRoundedRect(QRectF(box).adjusted(0.5, 0.5, -0.5, -0.5), 3, 3);
    painter.setRenderHint(QPainter::Antialiasing, false);
  }
}

std::optional<std::int64_t> TokenStrip::tokenAt(const QPoint& position) const {
  return lines_.at((position.y() + verticalScrollBar()->value()) / lineHeight_, position.x() - kPad);
}

void TokenStrip::mouseMoveEvent(QMouseEvent* event) {
  const auto token = tokenAt(event->position().toPoint());
  if (token != hovered_) {
    hovered_ = token;
    viewport()->setCursor(token ? Qt::PointingHandCursor : Qt::ArrowCursor);
    viewport()->update();
  }
}

void TokenStrip::mousePressEvent(QMouseEvent* event) {
  const auto token = tokenAt(event->position().toPoint());
  if (!token || event->button() != Qt::LeftButton) {
    return;
  }
  const auto pinned = session_->pinned();
  Cursor chosen{*token, *token};
  if (side_ == Side::Row && pinned) {
    chosen.key = std::min(pinned->key, *token);
  } else if (side_ == Side::Column) {
    chosen.query = pinned ? std::max(pinned->query, *token) : lines_.count() - 1;
  }
  session_->pin(chosen);
  Q_EMIT cellChosen(chosen);
}

bool TokenStrip::viewportEvent(QEvent* event) {
  if (event->type() == QEvent::Leave) {
    hovered_.reset();
    viewport()->update();
  } else if (event->type() == QEvent::ToolTip) {
    const auto* help = static_cast<QHelpEvent*>(event);
    const auto token = tokenAt(help->pos());
    QString text;
    if (token) {
      text = tr("token %1").arg(formatCount(*token));
      const auto& ids = session_->capture()->header().ids;
      if (static_cast<std::size_t>(*token) < ids.size()) {
        text += tr(", id %1").arg(ids[static_cast<std::size_t>(*token)]);
      }
      if (shown_ && *token < values_.size()) {
        text += tr(", p %1").arg(formatValue(static_cast<double>(values_[*token])));
      }
    }
    QToolTip::showText(help->globalPos(), text, this);
    return true;
  }
  return QAbstractScrollArea::viewportEvent(event);
}

void TokenStrip::resizeEvent(QResizeEvent* event) {
  QAbstractScrollArea::resizeEvent(event);
  lines_.setWidth(viewport()->width() - 2 * kPad);
  updateScrollBar();
}

}  // namespace headscope::ui
