#include "ui/map/color_bar.h"

#include <QImage>
#include <algorithm>
#include <cmath>

#include "ui/style/plot_style.h"
#include "ui/style/theme.h"

namespace headscope::ui {
namespace {

constexpr int kBarHeight = 8;
constexpr int kLine = 14;  ///< of text

double roundStep(double least) {
  const double power = std::pow(10.0, std::floor(std::log10(least)));
  for (const double step : {1.0, 2.0, 5.0}) {
    if (step * power >= least * (1 - 1e-9)) {
      return step * power;
    }
  }
  return 10 * power;
}

}  // namespace

QVector<double> colorTicks(const ColorRange& range) {
  QVector<double> ticks;
  if (range.scale == ColorScale::Log) {
    const int low = static_cast<int>(std::ceil(std::log10(range.low) - 1e-9));
    const int high = static_cast<int>(std::floor(std::log10(range.high) + 1e-9));
    const int step = high - low > 5 ? 2 : 1;
    for (int power = high; power >= low; power -= step) {
      ticks.prepend(std::pow(10.0, power));
    }
    return ticks;
  }
  const double step = roundStep((range.high - range.low) / 5);
  for (double value = std::ceil(range.low / step - 1e-9) * step; value <= range.high + step * 1e-6; value += step) {
    ticks.append(std::abs(value) < step * 1e-6 ? 0.0 : value);
  }
  return ticks;
}

QString colorTickText(double value) {
  if (value > 0 && value < 0.00095) {
    return QStringLiteral("1e%1")
        .arg(static_cast<int>(std::lround(std::log10(value))))
        .replace(QLatin1Char('-'), QStringLiteral("−"));
  }
  QString text = QString::number(std::abs(value), 'g', 4);
  return value < 0 ? QStringLiteral("−") + text : text;
}

ColorBar::ColorBar(QCustomPlot* plot) : QCPLayoutElement(plot), map_(&ColorMap::named(QStringLiteral("viridis"))) {
  setLayer(QStringLiteral("axes"));
}

void ColorBar::set(const ColorMap& map, const ColorRange& range, const QString& words) {
  map_ = &map;
  range_ = range;
  words_ = words;
}

void ColorBar::applyDefaultAntialiasingHint(QCPPainter* painter) const {
  painter->setAntialiasing(false);
}

void ColorBar::draw(QCPPainter* painter) {
  const Theme& t = theme();
  const QRect room = rect();
  painter->setClipping(false);
  painter->setFont(smallFont());
  painter->setPen(t.text);
  const QFontMetrics metrics(smallFont());
  painter->drawText(QRect(room.left(), room.top(), room.width(), kLine), Qt::AlignLeft | Qt::AlignVCenter,
                    metrics.elidedText(words_, Qt::ElideRight, room.width()));
  const QRect bar(room.left(), room.top() + kLine + 4, room.width(), kBarHeight);
  const double ratio = painter->deviceTransform().m11();
  QImage image(std::max(2, static_cast<int>(std::lround(bar.width() * ratio))), 1, QImage::Format_RGB32);
  for (int x = 0; x < image.width(); ++x) {
    image.setPixel(x, 0, map_->at(x / (image.width() - 1.0)));
  }
  painter->drawImage(bar, image);

  painter->setPen(t.muted);
  int free = room.left() - 8;
  for (const double value : colorTicks(range_)) {
    const QString text = colorTickText(value);
    const int width = metrics.horizontalAdvance(text) + 2;
    const double x = bar.left() + range_.position(value) * bar.width();
    const int left = std::clamp(static_cast<int>(x) - width / 2, room.left(), room.right() + 1 - width);
    if (left >= free) {
      painter->drawText(QRect(left, bar.bottom() + 3, width, kLine), Qt::AlignCenter, text);
      free = left + width + 8;
    }
  }
}

}  // namespace headscope::ui
