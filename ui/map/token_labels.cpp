#include "ui/map/token_labels.h"

#include <QFontInfo>
#include <QFontMetrics>
#include <algorithm>
#include <cmath>

#include "ui/style/plot_style.h"
#include "ui/style/theme.h"

namespace headscope::ui {
namespace {

constexpr int kCharacters = 12;  ///< of a label on the axes
constexpr int kTick = 4;         ///< between the map and its labels

// 1, 2, 5 × 10^n tokens, at least `least`.
std::int64_t roundStep(double least) {
  std::int64_t power = 1;
  while (true) {
    for (const std::int64_t step : {power, 2 * power, 5 * power}) {
      if (static_cast<double>(step) >= least) {
        return step;
      }
    }
    power *= 10;
  }
}

}  // namespace

LabelPlan planLabels(double low, double high, double pixelsPerToken, double textPitch, double indexPitch,
                     bool haveTexts, std::int64_t tokens) {
  LabelPlan plan;
  // Every second token still tells which cell is whose; a third one no longer.
  plan.texts = haveTexts && 2 * pixelsPerToken >= textPitch;
  plan.step = plan.texts ? (pixelsPerToken >= textPitch ? 1 : 2) : roundStep(indexPitch / pixelsPerToken);
  auto first = static_cast<std::int64_t>(std::ceil(std::max(low, 0.0)));
  first = (first + plan.step - 1) / plan.step * plan.step;
  for (std::int64_t token = first; token < tokens && static_cast<double>(token) <= high; token += plan.step) {
    plan.tokens.push_back(token);
  }
  return plan;
}

void TokenTexts::setCapture(std::shared_ptr<const Capture> capture) {
  capture_ = std::move(capture);
}

bool TokenTexts::any() const {
  return capture_ && !capture_->header().tokens.empty();
}

QString TokenTexts::label(std::int64_t token, int characters) const {
  if (!any() || token < 0 || token >= static_cast<std::int64_t>(capture_->header().tokens.size())) {
    return QString::number(token);
  }
  QString text = visibleToken(capture_->header().tokens[static_cast<std::size_t>(token)]);
  if (text.size() > characters) {
    text.truncate(characters - 1);
    if (!text.isEmpty() && text.back().isHighSurrogate()) {
      text.chop(1);
    }
    text += QChar(0x2026);
  }
  return text;
}

TokenLabels::TokenLabels(QCustomPlot* plot, const TokenTexts* texts)
    : QCPLayerable(plot, QStringLiteral("axes")), texts_(texts) {}

void TokenLabels::applyDefaultAntialiasingHint(QCPPainter* painter) const {
  painter->setAntialiasing(false);
}

QFont TokenLabels::font(bool texts) const {
  return texts ? monoFont(kSmallPoints) : smallFont();
}

QSize TokenLabels::room(std::int64_t tokens) const {
  const QFontMetrics mono(font(true)), numbers(font(false));
  int characters = 0;
  if (texts_->any()) {
    // Long texts are never labelled as a whole; a sample of them gives the width.
    const std::int64_t step = std::max<std::int64_t>(1, tokens / 512);
    for (std::int64_t token = 0; token < tokens && characters < kCharacters; token += step) {
      characters = std::max(characters, static_cast<int>(texts_->label(token, kCharacters).size()));
    }
  }
  const int texts = characters * mono.horizontalAdvance(QLatin1Char('m'));
  const int indices = numbers.horizontalAdvance(formatCount(std::max<std::int64_t>(tokens - 1, 100)));
  return {std::max(texts, indices) + kTick + 4, std::max(texts, numbers.height()) + kTick + 2};
}

// Letters without their line spacing: labels may come close to each other, but don't touch.
double TokenLabels::textPitch() const {
  return QFontInfo(font(true)).pixelSize();
}

LabelPlan TokenLabels::queryPlan() const {
  const double pixels = frame_.rect.height() / span(frame_.viewport);
  return planLabels(frame_.viewport.queryLow, frame_.viewport.queryHigh, pixels, textPitch(), 40, texts_->any(),
                    frame_.tokens);
}

LabelPlan TokenLabels::keyPlan() const {
  const double pixels = frame_.rect.width() / span(frame_.viewport);
  const int number =
      QFontMetrics(font(false)).horizontalAdvance(formatCount(std::max<std::int64_t>(frame_.tokens, 10)));
  return planLabels(frame_.viewport.keyLow, frame_.viewport.keyHigh, pixels, textPitch(), number + 24, texts_->any(),
                    frame_.tokens);
}

QString TokenLabels::queryLabel(std::int64_t token, const LabelPlan& plan) const {
  return plan.texts ? texts_->label(token, kCharacters) : formatCount(token);
}

QPixmap* TokenLabels::pixmap(const QString& text, bool texts, bool rotated, const QColor& color, double ratio) {
  const QString key =
      QStringLiteral("%1|%2|%3|%4").arg(rotated ? 1 : 0).arg(color.rgba()).arg(ratio).arg(texts ? 1 : 0) + text;
  if (QPixmap* cached = pixmaps_.object(key)) {
    return cached;
  }
  const QFont face = font(texts);
  const QFontMetrics metrics(face);
  const QSize size(metrics.horizontalAdvance(text) + 2, metrics.height());
  const QSize place = rotated ? size.transposed() : size;
  auto* made = new QPixmap((QSizeF(place) * ratio).toSize());
  made->setDevicePixelRatio(ratio);
  made->fill(Qt::transparent);
  QPainter painter(made);
  painter.setFont(face);
  painter.setPen(color);
  if (rotated) {
    painter.translate(place.width(), 0);
    painter.rotate(90);
  }
  painter.drawText(QRect(QPoint(1, 0), size), Qt::AlignLeft | Qt::AlignVCenter | Qt::TextSingleLine, text);
  painter.end();
  pixmaps_.insert(key, made);
  return pixmaps_.object(key);
}

QRectF TokenLabels::labelRect(std::int64_t token, bool key, const QSizeF& size) const {
  const QRect& rect = frame_.rect;
  if (key) {
    const double middle = frame_.xOf(static_cast<double>(token));
    return {QPointF(middle - size.width() / 2, rect.bottom() + 1 + kTick), size};
  }
  const double middle = frame_.yOf(static_cast<double>(token));
  return {QPointF(rect.left() - kTick - size.width(), middle - size.height() / 2), size};
}

QPixmap* TokenLabels::label(QCPPainter* painter, std::int64_t token, bool texts, bool key, const QColor& color) {
  const QString text = texts ? texts_->label(token, kCharacters) : formatCount(token);
  return pixmap(text, texts, key && texts, color, painter->deviceTransform().m11());
}

void TokenLabels::drawLabel(QCPPainter* painter, std::int64_t token, bool texts, bool key, const QColor& color) {
  const double ratio = painter->deviceTransform().m11();
  if (const QPixmap* picture = label(painter, token, texts, key, color)) {
    const QRectF rect = labelRect(token, key, QSizeF(picture->size()) / ratio);
    painter->drawPixmap(QPointF(std::round(rect.left() * ratio) / ratio, std::round(rect.top() * ratio) / ratio),
                        *picture);
  }
}

// Labels that this one would cover in part are covered as a whole.
void TokenLabels::drawOver(QCPPainter* painter, std::int64_t token, const LabelPlan& plan, bool key,
                           const QColor& color, const QColor& ground) {
  const double ratio = painter->deviceTransform().m11();
  const QPixmap* picture = label(painter, token, plan.texts, key, color);
  if (!picture) {
    return;
  }
  const QRectF own = labelRect(token, key, QSizeF(picture->size()) / ratio);
  QRectF covered = own;
  for (const std::int64_t other : plan.tokens) {
    if (std::abs(other - token) > 2 * plan.step) {
      continue;
    }
    if (const QPixmap* neighbour = label(painter, other, plan.texts, key, theme().muted)) {
      const QRectF rect = labelRect(other, key, QSizeF(neighbour->size()) / ratio);
      // Line spacing may overlap, letters not.
      const QRectF letters = key ? rect.adjusted(2, 0, -2, 0) : rect.adjusted(0, 2, 0, -2);
      covered = letters.intersects(own) ? covered.united(rect) : covered;
    }
  }
  painter->fillRect(covered.adjusted(-1, 0, 0, 1), ground);
  drawLabel(painter, token, plan.texts, key, color);
}

void TokenLabels::drawQueryLabel(QCPPainter* painter, std::int64_t token, const QColor& color, const QColor& ground) {
  drawOver(painter, token, queryPlan(), false, color, ground);
}

void TokenLabels::drawKeyLabel(QCPPainter* painter, std::int64_t token, const QColor& color, const QColor& ground) {
  drawOver(painter, token, keyPlan(), true, color, ground);
}

// A neighbour that is covered as a whole begins within the label and ends within its own size beyond.
QRect TokenLabels::queryLabelReach(std::int64_t token) const {
  const int height = std::max(QFontMetrics(font(true)).height(), QFontMetrics(font(false)).height()) + 2;
  const int middle = qRound(frame_.yOf(static_cast<double>(token)));
  return {0, middle - 3 * height / 2, frame_.rect.left(), 3 * height};
}

QRect TokenLabels::keyLabelReach(std::int64_t token) const {
  const QFontMetrics numbers(font(false));
  const int width = std::max(QFontMetrics(font(true)).height(),
                             numbers.horizontalAdvance(formatCount(std::max<std::int64_t>(frame_.tokens, 10)))) +
                    4;
  const int middle = qRound(frame_.xOf(static_cast<double>(token)));
  return {middle - 3 * width / 2, frame_.rect.bottom() + 1, 3 * width,
          kCharacters * QFontMetrics(font(true)).horizontalAdvance(QLatin1Char('m')) + kTick + 4};
}

void TokenLabels::draw(QCPPainter* painter) {
  if (!frame_.valid()) {
    return;
  }
  const Theme& t = theme();
  const QRect& rect = frame_.rect;
  const LabelPlan queries = queryPlan(), keys = keyPlan();
  painter->setClipping(false);
  painter->setPen(QPen(t.line, 1));
  for (const std::int64_t token : queries.tokens) {
    const double y = frame_.yOf(static_cast<double>(token));
    if (!queries.texts) {
      painter->drawLine(QPointF(rect.left() - 3, y), QPointF(rect.left() - 1, y));
    }
    drawLabel(painter, token, queries.texts, false, t.muted);
  }
  for (const std::int64_t token : keys.tokens) {
    const double x = frame_.xOf(static_cast<double>(token));
    if (!keys.texts) {
      painter->drawLine(QPointF(x, rect.bottom() + 1), QPointF(x, rect.bottom() + 3));
    }
    drawLabel(painter, token, keys.texts, true, t.muted);
  }
}

}  // namespace headscope::ui
