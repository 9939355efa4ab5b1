#include "ui/head/lens_plot.h"

#include <cmath>

#include "ui/style/plot_style.h"
#include "ui/style/theme.h"

namespace headscope::ui {

LensPlot::LensPlot(const QString& name, int height, QWidget* parent) : QCustomPlot(parent) {
  setObjectName(name);
  setFixedHeight(height);
  setSizePolicy(QSizePolicy::Preferred, QSizePolicy::Fixed);
  setFocusPolicy(Qt::NoFocus);
  setMouseTracking(true);
  axisRect()->setAutoMargins(QCP::msLeft | QCP::msBottom | QCP::msTop);
  axisRect()->setMargins(QMargins(0, 6, 4, 0));
  axisRect()->setMinimumMargins(QMargins(30, 4, 4, 4));
  for (QCPAxis* axis : {xAxis, yAxis}) {
    axis->ticker()->setTickCount(axis == yAxis ? 2 : 4);
    axis->setTickLengthIn(0);
    axis->setTickLengthOut(2);
    axis->setLabelPadding(1);
    axis->setTickLabelPadding(2);
    axis->setNumberFormat(QStringLiteral("gb"));
    axis->setNumberPrecision(4);
  }
  connect(&Appearance::instance(), &Appearance::changed, this, [this] {
    restyle();
    replot(rpQueuedReplot);
  });
}

void LensPlot::restyle() {
  stylePlot(this);
}

void LensPlot::leaveEvent(QEvent* event) {
  QCustomPlot::leaveEvent(event);
  Q_EMIT readout(QString());
}

QCPItemText* LensPlot::directLabel(const QString& text) {
  auto* label = new QCPItemText(this);
  label->position->setTypeX(QCPItemPosition::ptAxisRectRatio);
  label->position->setTypeY(QCPItemPosition::ptPlotCoords);
  label->position->setAxes(xAxis, yAxis);
  label->setPositionAlignment(Qt::AlignRight | Qt::AlignBottom);
  label->setText(text);
  label->setFont(smallFont());
  label->setClipToAxisRect(false);
  return label;
}

QString compactTokens(double tokens) {
  if (!std::isfinite(tokens)) {
    return QStringLiteral("∞");
  }
  const auto three = [](double value, const QString& suffix) {
    const int decimals = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
    return QString::number(value, 'f', decimals) + suffix;
  };
  if (tokens < 1000) {
    return three(tokens, QString());
  }
  return tokens < 999500 ? three(tokens / 1e3, QStringLiteral("k")) : three(tokens / 1e6, QStringLiteral("M"));
}

ChannelPlot::ChannelPlot(QWidget* parent) : LensPlot(QStringLiteral("channelPlot"), 132, parent) {
  bars_ = new QCPBars(xAxis, yAxis);
  dominant_ = new QCPBars(xAxis, yAxis);
  for (QCPBars* bars : {bars_, dominant_}) {
    bars->setWidth(0.72);
    bars->setPen(Qt::NoPen);
  }
  xAxis->setLabel(tr("channel m"));
  xAxis->grid()->setVisible(false);
  xAxis2->setVisible(true);
  xAxis2->setTickLabels(true);
  xAxis2->setLabel(tr("wavelength, tokens"));
  xAxis2->grid()->setVisible(false);
  xAxis2->setTickLengthIn(0);
  xAxis2->setTickLengthOut(2);
  xAxis2->setLabelPadding(1);
  yAxis->setLabel(tr("share, %"));
  setAccessibleName(tr("RoPE channels: share of strength by channel"));
  ChannelPlot::restyle();
}

void ChannelPlot::restyle() {
  LensPlot::restyle();
  bars_->setBrush(theme().neutral);
  dominant_->setBrush(theme().accent);
}

void ChannelPlot::setSpectrum(const RopeSpectrum& spectrum) {
  spectrum_ = spectrum;
  QVector<double> x, y, domX, domY;
  double highest = 0;
  for (const RopeChannel& channel : spectrum.channels) {
    const bool isDominant = spectrum.dominant && *spectrum.dominant == channel.m;
    (isDominant ? domX : x).append(channel.m);
    (isDominant ? domY : y).append(100 * channel.share);
    highest = std::max(highest, 100 * channel.share);
  }
  bars_->setData(x, y, true);
  dominant_->setData(domX, domY, true);
  const auto count = static_cast<double>(spectrum.channels.size());
  xAxis->setRange(-0.6, std::max(count, 1.0) - 0.4);
  xAxis2->setRange(xAxis->range());
  yAxis->setRange(0, highest > 0 ? highest * 1.12 : 1);
  QSharedPointer<QCPAxisTickerText> ticker(new QCPAxisTickerText);
  const int labels = 5;
  for (int i = 0; i < labels && !spectrum.channels.empty(); ++i) {
    const auto index = static_cast<std::size_t>(std::lround((count - 1) * i / (labels - 1)));
    ticker->addTick(static_cast<double>(spectrum.channels[index].m),
                    compactTokens(spectrum.channels[index].wavelength));
  }
  xAxis2->setTicker(ticker);
  replot(rpQueuedReplot);
}

void ChannelPlot::mouseMoveEvent(QMouseEvent* event) {
  QCustomPlot::mouseMoveEvent(event);
  const auto index = std::lround(xAxis->pixelToCoord(event->position().x()));
  if (index < 0 || index >= static_cast<long>(spectrum_.channels.size())) {
    Q_EMIT readout(QString());
    return;
  }
  const RopeChannel& channel = spectrum_.channels[static_cast<std::size_t>(index)];
  Q_EMIT readout(tr("channel %1: %2 %, wavelength %3 tokens")
                     .arg(channel.m)
                     .arg(formatValue(100 * channel.share), compactTokens(channel.wavelength)));
}

DistancePlot::DistancePlot(QWidget* parent) : LensPlot(QStringLiteral("distancePlot"), 132, parent) {
  measured_ = addGraph();
  predicted_ = addGraph();
  measuredName_ = directLabel(tr("measured"));
  predictedName_ = directLabel(tr("predicted"));
  period_ = new QCPItemStraightLine(this);
  period_->setVisible(false);
  xAxis->setLabel(tr("distance t − i, tokens"));
  yAxis->setLabel(tr("mean logit"));
  setAccessibleName(tr("Mean logit by distance, measured and predicted"));
  DistancePlot::restyle();
}

void DistancePlot::restyle() {
  LensPlot::restyle();
  const Theme& t = theme();
  measured_->setPen(measuredPen(t.neutral));
  predicted_->setPen(predictedPen(t.accent));
  measuredName_->setColor(t.muted);
  predictedName_->setColor(t.accent);
  measuredName_->setFont(smallFont());
  predictedName_->setFont(smallFont());
  QPen pen(t.bound, 1, Qt::DotLine);
  period_->setPen(pen);
}

namespace {

QVector<double> steps(std::size_t count) {
  QVector<double> x(static_cast<qsizetype>(count));
  for (qsizetype i = 0; i < x.size(); ++i) {
    x[i] = static_cast<double>(i);
  }
  return x;
}

QVector<double> toVector(const std::vector<double>& values) {
  return {values.begin(), values.end()};
}

// Where the name of a curve can stand without crossing it: above its mean near the right end.
double levelNearEnd(const std::vector<double>& values) {
  const std::size_t from = values.size() - values.size() / 5;
  double highest = -HUGE_VAL;
  for (std::size_t i = std::min(from, values.size() ? values.size() - 1 : 0); i < values.size(); ++i) {
    if (std::isfinite(values[i])) {
      highest = std::max(highest, values[i]);
    }
  }
  return std::isfinite(highest) ? highest : 0.0;
}

std::pair<double, double> spanOf(std::initializer_list<const std::vector<double>*> curves) {
  double low = HUGE_VAL, high = -HUGE_VAL;
  for (const auto* curve : curves) {
    for (const double value : *curve) {
      if (std::isfinite(value)) {
        low = std::min(low, value);
        high = std::max(high, value);
      }
    }
  }
  return low <= high ? std::pair{low, high} : std::pair{0.0, 1.0};
}

struct CurveLabel {
  QCPItemText* text;
  double level;  ///< of the curve where the label is to stand
};

/// At the right end, inside the axis, each as near its curve as they can be without touching. Equal levels: `second` is
/// above.
void placeLabels(const QCPRange& range, CurveLabel first, CurveLabel second) {
  constexpr double kLineHeight = 0.2;  // of the axis: these plots are low
  CurveLabel& below = first.level <= second.level ? first : second;
  CurveLabel& above = first.level <= second.level ? second : first;
  const double line = kLineHeight * range.size();
  below.level = std::clamp(below.level, range.lower, range.upper - 2 * line);
  above.level = std::clamp(above.level, below.level + line, range.upper - line);
  for (const CurveLabel& label : {first, second}) {
    label.text->position->setCoords(0.995, label.level);
  }
}

}  // namespace

void DistancePlot::setLens(const RopeLens& lens) {
  lens_ = lens;
  const auto count = lens.measuredByDistance.size();
  measured_->setData(steps(count), toVector(lens.measuredByDistance), true);
  predicted_->setData(steps(lens.predictedByDistance.size()), toVector(lens.predictedByDistance), true);
  const auto [low, high] = spanOf({&lens.measuredByDistance, &lens.predictedByDistance});
  const double margin = std::max(high - low, 1e-6) * 0.12;
  xAxis->setRange(0, std::max(1.0, static_cast<double>(count) - 1));
  yAxis->setRange(low - margin / 2, high + margin);
  placeLabels(yAxis->range(), {measuredName_, levelNearEnd(lens.measuredByDistance)},
              {predictedName_, levelNearEnd(lens.predictedByDistance)});
  for (QCPItemText* name : {measuredName_, predictedName_}) {
    name->setVisible(count > 0);
  }
  const auto period = lens.spectrum.predictedPeriod;
  period_->setVisible(period && *period < static_cast<double>(count));
  if (period_->visible()) {
    period_->point1->setCoords(*period, 0);
    period_->point2->setCoords(*period, 1);
  }
  replot(rpQueuedReplot);
}

void DistancePlot::mouseMoveEvent(QMouseEvent* event) {
  QCustomPlot::mouseMoveEvent(event);
  const auto distance = std::lround(xAxis->pixelToCoord(event->position().x()));
  if (distance < 0 || distance >= static_cast<long>(lens_.measuredByDistance.size()) ||
      lens_.predictedByDistance.size() != lens_.measuredByDistance.size()) {
    Q_EMIT readout(QString());
    return;
  }
  const auto index = static_cast<std::size_t>(distance);
  Q_EMIT readout(tr("distance %1: measured %2, predicted %3")
                     .arg(formatCount(distance), formatValue(lens_.measuredByDistance[index]),
                          formatValue(lens_.predictedByDistance[index])));
}

BoundPlot::BoundPlot(QWidget* parent) : LensPlot(QStringLiteral("boundPlot"), 116, parent) {
  bound_ = addGraph();
  measured_ = addGraph();
  measuredName_ = directLabel(tr("measured"));
  boundName_ = directLabel(tr("bound"));
  xAxis->setLabel(tr("query t, tokens"));
  yAxis->setLabel(tr("|Δ logit|"));
  setAccessibleName(tr("Change of a logit, measured and bound, over time"));
  BoundPlot::restyle();
}

void BoundPlot::restyle() {
  LensPlot::restyle();
  measured_->setPen(measuredPen(theme().neutral));
  bound_->setPen(boundPen());
  measuredName_->setColor(theme().muted);
  boundName_->setColor(theme().bound);
  measuredName_->setFont(smallFont());
  boundName_->setFont(smallFont());
}

void BoundPlot::setCurve(const BoundCurve& curve, bool lowerBound) {
  curve_ = curve;
  measured_->setData(steps(curve.measured.size()), toVector(curve.measured), true);
  bound_->setData(steps(curve.bound.size()), toVector(curve.bound), true);
  const double high = spanOf({&curve.measured, &curve.bound}).second;
  xAxis->setRange(0, std::max(1.0, static_cast<double>(curve.measured.size()) - 1));
  yAxis->setRange(0, std::max(high, 1e-9) * 1.25);
  const double boundLevel = std::max(levelNearEnd(curve.bound), 0.0);
  const double measuredLevel = levelNearEnd(curve.measured);
  // What is above stays above where both meet: the bound, or for a lower bound the measured curve.
  placeLabels(yAxis->range(),
              {measuredName_, lowerBound ? std::max(measuredLevel, boundLevel) : std::min(measuredLevel, boundLevel)},
              {boundName_, boundLevel});
  for (QCPItemText* name : {measuredName_, boundName_}) {
    name->setVisible(!curve.measured.empty());
  }
  replot(rpQueuedReplot);
}

void BoundPlot::mouseMoveEvent(QMouseEvent* event) {
  QCustomPlot::mouseMoveEvent(event);
  const auto t = std::lround(xAxis->pixelToCoord(event->position().x()));
  if (t < 0 || t >= static_cast<long>(curve_.measured.size())) {
    Q_EMIT readout(QString());
    return;
  }
  const auto index = static_cast<std::size_t>(t);
  Q_EMIT readout(tr("t = %1: measured %2, bound %3")
                     .arg(formatCount(t), formatValue(curve_.measured[index]), formatValue(curve_.bound[index])));
}

}  // namespace headscope::ui
