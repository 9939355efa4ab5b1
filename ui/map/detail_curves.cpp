#include "ui/map/detail_curves.h"

#include <algorithm>
#include <cmath>

#include "ui/style/plot_style.h"
#include "ui/style/theme.h"

namespace headscope::ui {
namespace {

// 1, 1.5, 2, 3, 5 × 10^n, not below the value.
double roundUp(double value) {
  if (!(value > 0)) {
    return 1;
  }
  const double power = std::pow(10.0, std::floor(std::log10(value)));
  for (const double step : {1.0, 1.5, 2.0, 3.0, 5.0}) {
    if (step * power >= value * (1 - 1e-9)) {
      return step * power;
    }
  }
  return 10 * power;
}

// A round number without trailing zeros.
QString roundText(double value) {
  if (value > 0 && value < 0.00095) {
    return QStringLiteral("1e−%1").arg(std::lround(-std::log10(value)));
  }
  return QString::number(value, 'g', 3).replace(QLatin1Char('-'), QStringLiteral("−"));
}

// Cosines: from 0, or from the round number below the lowest, to 1.
double cosineLow(const MinMaxPyramid& a, const MinMaxPyramid& b) {
  const double low = std::fmin(std::fmin(a.all().low, b.all().low), 0.0);
  return std::max(-1.0, std::floor(low * 5) / 5);
}

// Received mass is drawn over a log axis, from here to 1.
double powerBelow(double lowest) {
  const double value = std::isnan(lowest) ? 0.1 : std::clamp(lowest, 1e-6, 0.1);
  return std::pow(10.0, std::floor(std::log10(value) + 1e-9));
}

}  // namespace

DetailCurves::Rect DetailCurves::make(QCustomPlot* plot, bool alongQueries) {
  Rect made;
  made.rect = new QCPAxisRect(plot);
  made.rect->setLayer(QStringLiteral("background"));
  made.rect->setAutoMargins(QCP::msNone);
  made.rect->setMargins(QMargins(0, 0, 0, 0));
  made.rect->setMinimumMargins(QMargins(0, 0, 0, 0));
  made.tokens = made.rect->axis(alongQueries ? QCPAxis::atLeft : QCPAxis::atBottom);
  made.values = made.rect->axis(alongQueries ? QCPAxis::atBottom : QCPAxis::atLeft);
  made.tokens->setRangeReversed(alongQueries);
  made.tokens->setTicks(false);
  made.tokens->setTickLabels(false);
  made.tokens->grid()->setVisible(false);
  made.values->setTicker(QSharedPointer<QCPAxisTickerText>::create());
  made.values->setTickLabels(false);
  made.values->setTicks(false);
  for (QCPAxis* axis : made.rect->axes()) {
    axis->setLayer(QStringLiteral("axes"));
    axis->grid()->setLayer(QStringLiteral("grid"));
  }
  return made;
}

DetailCurves::DetailCurves(QCustomPlot* plot)
    : qSimilarityRect_(make(plot, true)),
      entropyRect_(make(plot, true)),
      kSimilarityRect_(make(plot, false)),
      receivedRect_(make(plot, false)) {
  qSimilarityRope_ = new MarginCurve(qSimilarityRect_.tokens, qSimilarityRect_.values);
  qSimilarity_ = new MarginCurve(qSimilarityRect_.tokens, qSimilarityRect_.values);
  entropy_ = new MarginCurve(entropyRect_.tokens, entropyRect_.values);
  kSimilarity_ = new MarginCurve(kSimilarityRect_.tokens, kSimilarityRect_.values);
  receivedRect_.values->setScaleType(QCPAxis::stLogarithmic);
  received_ = new MarginCurve(receivedRect_.tokens, receivedRect_.values);
  clear();
}

void DetailCurves::setRange(const Rect& rect, double low, double high) {
  rect.values->setRange(low, high);
  auto ticker = rect.values->ticker().dynamicCast<QCPAxisTickerText>();
  ticker->clear();
  ticker->addTick(rect.values->scaleType() == QCPAxis::stLogarithmic ? std::sqrt(low * high) : (low + high) / 2,
                  QString());
}

void DetailCurves::clear() {
  for (MarginCurve* curve : {qSimilarityRope_, qSimilarity_, entropy_, kSimilarity_, received_}) {
    curve->clear();
  }
  for (const Rect* rect : {&qSimilarityRect_, &entropyRect_, &kSimilarityRect_}) {
    setRange(*rect, 0, 1);
  }
  setRange(receivedRect_, 1e-3, 1);
}

void DetailCurves::set(const HeadDetail& detail) {
  // The cosine of t and t + 1 stands between the two.
  qSimilarity_->setValues(detail.qSimilarity, 0.5);
  qSimilarityRope_->setValues(detail.qSimilarityRope, 0.5);
  kSimilarity_->setValues(detail.kSimilarity, 0.5);
  entropy_->setValues(detail.rows.entropy, 0);
  received_->setValues(detail.rows.receivedMass, 0);
  setRange(qSimilarityRect_, cosineLow(qSimilarity_->pyramid(), qSimilarityRope_->pyramid()), 1);
  setRange(kSimilarityRect_, cosineLow(kSimilarity_->pyramid(), kSimilarity_->pyramid()), 1);
  setRange(entropyRect_, 0, roundUp(entropy_->pyramid().all().high));
  setRange(receivedRect_, powerBelow(received_->pyramid().all().low), 1);
}

void DetailCurves::setViewport(const MapViewport& viewport) {
  for (const Rect* rect : {&qSimilarityRect_, &entropyRect_}) {
    rect->tokens->setRange(viewport.queryLow, viewport.queryHigh);
  }
  for (const Rect* rect : {&kSimilarityRect_, &receivedRect_}) {
    rect->tokens->setRange(viewport.keyLow, viewport.keyHigh);
  }
}

void DetailCurves::restyle() {
  const Theme& t = theme();
  for (const Rect* rect : {&qSimilarityRect_, &entropyRect_, &kSimilarityRect_, &receivedRect_}) {
    styleAxisRect(rect->rect);
  }
  QColor faint = t.query;
  faint.setAlphaF(0.4f);
  qSimilarityRope_->setPen(QPen(faint, 1));
  qSimilarity_->setPen(measuredPen(t.query));
  entropy_->setPen(measuredPen(t.neutral));
  kSimilarity_->setPen(measuredPen(t.key));
  received_->setPen(measuredPen(t.neutral));
}

QString DetailCurves::lowText(const Rect& rect) {
  return roundText(rect.values->range().lower);
}
QString DetailCurves::highText(const Rect& rect) {
  return roundText(rect.values->range().upper);
}

}  // namespace headscope::ui
