#include "ui/map/margin_curve.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace headscope::ui {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// fmin and fmax leave NaN out.
MinMaxPyramid::Extremes join(const MinMaxPyramid::Extremes& a, const MinMaxPyramid::Extremes& b) {
  return {std::fmin(a.low, b.low), std::fmax(a.high, b.high)};
}

}  // namespace

void MinMaxPyramid::setValues(std::vector<double> values) {
  values_ = std::move(values);
  levels_.clear();
  std::vector<Extremes> previous;
  for (const double value : values_) {
    previous.push_back({value, value});
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
    return {kNan, kNan};
  }
  return levels_.empty() ? Extremes{values_.front(), values_.front()} : levels_.back().front();
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

// Corners of the line; NaN values are left out, so that sampled rows are joined.
QPolygonF MarginCurve::points() const {
  const QCPAxis* axis = mKeyAxis.data();
  const QCPRange range = axis->range();
  const int pixels = axis->orientation() == Qt::Horizontal ? axis->axisRect()->width() : axis->axisRect()->height();
  const double perPixel = range.size() / std::max(pixels, 1);
  const auto count = static_cast<std::int64_t>(pyramid_.values().size());
  QPolygonF line;
  if (perPixel <= 1 || pyramid_.levels() == 0) {
    const auto first = std::max<std::int64_t>(0, static_cast<std::int64_t>(std::floor(range.lower - offset_)) - 1);
    const auto last = std::min(count - 1, static_cast<std::int64_t>(std::ceil(range.upper - offset_)) + 1);
    for (std::int64_t i = first; i <= last; ++i) {
      if (!std::isnan(valueAt(i))) {
        line.append(pointAt(i));
      }
    }
    return line;
  }
  const int level = std::clamp(static_cast<int>(std::ceil(std::log2(perPixel))), 1, pyramid_.levels());
  const auto& extremes = pyramid_.level(level);
  const double size = std::ldexp(1.0, level);
  const auto first =
      std::max<std::int64_t>(0, static_cast<std::int64_t>(std::floor((range.lower - offset_) / size)) - 1);
  const auto last = std::min(static_cast<std::int64_t>(extremes.size()) - 1,
                             static_cast<std::int64_t>(std::ceil((range.upper - offset_) / size)) + 1);
  for (std::int64_t i = first; i <= last; ++i) {
    const MinMaxPyramid::Extremes& e = extremes[static_cast<std::size_t>(i)];
    if (!std::isnan(e.low)) {
      const double key = (static_cast<double>(i) + 0.5) * size + offset_ - 0.5;
      line.append(place(key, i % 2 == 0 ? e.low : e.high));
      line.append(place(key, i % 2 == 0 ? e.high : e.low));
    }
  }
  return line;
}

void MarginCurve::draw(QCPPainter* painter) {
  if (pyramid_.empty() || mKeyAxis.data()->range().size() <= 0) {
    return;
  }
  const QPolygonF line = points();
  const int pixels = std::max(mKeyAxis.data()->axisRect()->width(), mKeyAxis.data()->axisRect()->height());
  painter->setBrush(Qt::NoBrush);
  if (line.size() > pixels) {
    // A line that goes up and down within every pixel gains nothing from smoothing, which would cost milliseconds.
    painter->setAntialiasing(false);
    painter->setPen(QPen(mPen.color(), 0));
  } else {
    painter->setAntialiasing(true);
    painter->setPen(mPen);
  }
  painter->drawPolyline(line);
}

void MarginCurve::drawLegendIcon(QCPPainter* painter, const QRectF& rect) const {
  painter->setPen(mPen);
  painter->drawLine(QLineF(rect.left(), rect.center().y(), rect.right(), rect.center().y()));
}

}  // namespace headscope::ui
