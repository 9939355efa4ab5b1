#include "ui/map/token_labels.h"

#include <QFontMetrics>
#include <algorithm>
#include <cmath>

#include "ui/style/plot_style.h"
#include "ui/style/theme.h"

namespace headscope::ui {
namespace {

constexpr int kCharacters = 11;  ///< of a label on the axes
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

LabelPlan TokenLabels::queryPlan() const {
  const double pixels = frame_.rect.height() / span(frame_.viewport);
  return planLabels(frame_.viewport.queryLow, frame_.viewport.queryHigh, pixels, QFontMetrics(font(true)).height() - 2,
                    40, texts_->any(), frame_.tokens);
}

LabelPlan TokenLabels::keyPlan() const {
  const double pixels = frame_.rect.width() / span(frame_.viewport);
  const int number =
      QFontMetrics(font(false)).horizontalAdvance(formatCount(std::max<std::int64_t>(frame_.tokens, 10)));
  return planLabels(frame_.viewport.keyLow, frame_.viewport.keyHigh, pixels, QFontMetrics(font(true)).height() - 2,
                    number + 24, texts_->any(), frame_.tokens);
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

void TokenLabels::place(QCPPainter* painter, std::int64_t token, bool texts, bool key, const QColor& color,
                        const QColor* ground) {
  const QString text = texts ? texts_->label(token, kCharacters) : formatCount(token);
  const double ratio = painter->deviceTransform().m11();
  const QPixmap* picture = pixmap(text, texts, key && texts, color, ratio);
  if (!picture) {
    return;
  }
  const QSizeF size = QSizeF(picture->size()) / ratio;
  const QRect& rect = frame_.rect;
  QPointF corner;
  if (key) {
    const double middle = frame_.xOf(static_cast<double>(token));
    corner = QPointF(middle - size.width() / 2, rect.bottom() + 1 + kTick);
  } else {
    const double middle = frame_.yOf(static_cast<double>(token));
    corner = QPointF(rect.left() - kTick - size.width(), middle - size.height() / 2);
  }
  corner = QPointF(std::round(corner.x() * ratio) / ratio, std::round(corner.y() * ratio) / ratio);
  if (ground) {
    painter->fillRect(QRectF(corner, size).adjusted(-1, 0, 1, 0), *ground);
  }
  painter->drawPixmap(corner, *picture);
}

void TokenLabels::drawQueryLabel(QCPPainter* painter, std::int64_t token, const QColor& color, const QColor& ground) {
  place(painter, token, queryPlan().texts, false, color, &ground);
}

void TokenLabels::drawKeyLabel(QCPPainter* painter, std::int64_t token, const QColor& color, const QColor& ground) {
  place(painter, token, keyPlan().texts, true, color, &ground);
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
    place(painter, token, queries.texts, false, t.muted, nullptr);
  }
  for (const std::int64_t token : keys.tokens) {
    const double x = frame_.xOf(static_cast<double>(token));
    if (!keys.texts) {
      painter->drawLine(QPointF(x, rect.bottom() + 1), QPointF(x, rect.bottom() + 3));
    }
    place(painter, token, keys.texts, true, t.muted, nullptr);
  }
}

}  // namespace headscope::ui
