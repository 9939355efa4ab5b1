#include "ui/map/margin_curve.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace headscope::ui {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// fmin and fmax leave NaN out.
MinMaxPyramid::Extremes join(const MinMaxPyramid::Extremes& a, const MinMaxPyramid::Extremes& b) {
  return {std::fmin(a.low, b.low), std::fmax(a.high, b.high), a.sum + b.sum, a.count + b.count};
}

}  // namespace

void MinMaxPyramid::setValues(std::vector<double> values) {
  values_ = std::move(values);
  levels_.clear();
  std::vector<Extremes> previous;
  for (const double value : values_) {
    const bool there = !std::isnan(value);
    previous.push_back({value, value, there ? value : 0, there ? 1.0 : 0.0});
  }
  while (previous.size() > 1) {
    std::vector<Extremes> next((previous.size() + 1) / 2);
    for (std::size_t i = 0; i < next.size(); ++i) {
      next[i] = 2 * i + 1 < previous.size() ? join(previous[2 * i], previous[2 * i + 1]) : previous[2 * i];
    }
    levels_.push_back(next);
    previous = std::move(next);
  }
}

MinMaxPyramid::Extremes MinMaxPyramid::all() const {
  if (values_.empty()) {
    return {kNan, kNan, 0, 0};
  }
  return levels_.empty() ? Extremes{values_.front(), values_.front(), values_.front(), 1} : levels_.back().front();
}

const std::vector<MinMaxPyramid::Extremes>& MinMaxPyramid::level(int level) const {
  return levels_[static_cast<std::size_t>(std::clamp(level, 1, levels()) - 1)];
}

MarginCurve::MarginCurve(QCPAxis* tokenAxis, QCPAxis* valueAxis) : QCPAbstractPlottable(tokenAxis, valueAxis) {
  setSelectable(QCP::stNone);
}

void MarginCurve::setValues(std::vector<double> values, double offset) {
  pyramid_.setValues(std::move(values));
  offset_ = offset;
}

double MarginCurve::valueAt(std::int64_t token) const {
  const auto& values = pyramid_.values();
  return token >= 0 && token < static_cast<std::int64_t>(values.size()) ? values[static_cast<std::size_t>(token)]
                                                                        : kNan;
}

QPointF MarginCurve::pointAt(std::int64_t token) const {
  return place(static_cast<double>(token) + offset_, valueAt(token));
}

// A value below the axis (a zero on a log axis) stands at its end.
QPointF MarginCurve::place(double key, double value) const {
  return coordsToPixels(key, std::max(value, mValueAxis.data()->range().lower));
}

double MarginCurve::selectTest(const QPointF&, bool, QVariant*) const {
  return -1;
}

QCPRange MarginCurve::getKeyRange(bool& foundRange, QCP::SignDomain) const {
  foundRange = !pyramid_.empty();
  return {offset_, offset_ + static_cast<double>(pyramid_.values().size())};
}

QCPRange MarginCurve::getValueRange(bool& foundRange, QCP::SignDomain, const QCPRange&) const {
  const MinMaxPyramid::Extremes extremes = pyramid_.all();
  foundRange = !std::isnan(extremes.low);
  return {extremes.low, extremes.high};
}

// NaN values are left out, so that sampled rows are joined.
void MarginCurve::drawValues(QCPPainter* painter) const {
  const QCPRange range = mKeyAxis.data()->range();
  const auto count = static_cast<std::int64_t>(pyramid_.values().size());
  const auto first = std::max<std::int64_t>(0, static_cast<std::int64_t>(std::floor(range.lower - offset_)) - 1);
  const auto last = std::min(count - 1, static_cast<std::int64_t>(std::ceil(range.upper - offset_)) + 1);
  QPolygonF line;
  for (std::int64_t i = first; i <= last; ++i) {
    if (!std::isnan(valueAt(i))) {
      line.append(pointAt(i));
    }
  }
  painter->setAntialiasing(true);
  painter->setPen(mPen);
  painter->drawPolyline(line);
}

void MarginCurve::drawBand(QCPPainter* painter, double tokensPerPixel) const {
  const QCPRange range = mKeyAxis.data()->range();
  const int level = std::clamp(static_cast<int>(std::ceil(std::log2(tokensPerPixel))), 1, pyramid_.levels());
  const auto& extremes = pyramid_.level(level);
  const double size = std::ldexp(1.0, level), low = range.lower - offset_, high = range.upper - offset_;
  const auto first = std::max<std::int64_t>(0, static_cast<std::int64_t>(std::floor(low / size)) - 1);
  const auto last =
      std::min(static_cast<std::int64_t>(extremes.size()) - 1, static_cast<std::int64_t>(std::ceil(high / size)) + 1);
  QVector<QRectF> bars;
  QPolygonF line;
  for (std::int64_t i = first; i <= last; ++i) {
    const MinMaxPyramid::Extremes& e = extremes[static_cast<std::size_t>(i)];
    if (e.count > 0) {
      const double begin = static_cast<double>(i) * size + offset_ - 0.5;
      bars.append(QRectF(place(begin, e.low), place(begin + size, e.high)).normalized());
      line.append(place(begin + size / 2, e.mean()));
    }
  }
  QColor band = mPen.color();
  band.setAlphaF(band.alphaF() * 0.35f);
  painter->setAntialiasing(false);
  painter->setPen(Qt::NoPen);
  painter->setBrush(band);
  painter->drawRects(bars);
  painter->setBrush(Qt::NoBrush);
  painter->setAntialiasing(true);
  painter->setPen(QPen(mPen.color(), 1));
  painter->drawPolyline(line);
}

void MarginCurve::draw(QCPPainter* painter) {
  const QCPAxis* axis = mKeyAxis.data();
  if (pyramid_.empty() || axis->range().size() <= 0) {
    return;
  }
  const int pixels = axis->orientation() == Qt::Horizontal ? axis->axisRect()->width() : axis->axisRect()->height();
  const double tokensPerPixel = axis->range().size() / std::max(pixels, 1);
  painter->setBrush(Qt::NoBrush);
  if (tokensPerPixel <= 0.75 || pyramid_.levels() == 0) {
    drawValues(painter);
  } else {
    drawBand(painter, tokensPerPixel);
  }
}

void MarginCurve::drawLegendIcon(QCPPainter* painter, const QRectF& rect) const {
  painter->setPen(mPen);
  painter->drawLine(QLineF(rect.left(), rect.center().y(), rect.right(), rect.center().y()));
}

}  // namespace headscope::ui
