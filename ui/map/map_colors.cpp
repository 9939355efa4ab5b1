#include "ui/map/map_colors.h"

#include <QCoreApplication>
#include <algorithm>
#include <cmath>
#include <limits>

namespace headscope::ui {
namespace {

// 1, 2, 5 × 10^n, not below the value.
double roundUp(double value) {
  const double power = std::pow(10.0, std::floor(std::log10(value)));
  for (const double step : {1.0, 2.0, 5.0}) {
    if (step * power >= value * (1 - 1e-9)) {
      return step * power;
    }
  }
  return 10 * power;
}

struct Extent {
  double low = 0, high = 0;
  bool any = false;
};

// The largest value, and the one that 1 % of a sample lie below: single outliers at the low end don't take the colours.
Extent extentOf(const std::vector<float>& values) {
  constexpr std::size_t kStep = 13;  // no divisor of 256
  Extent extent;
  std::vector<float> sample;
  sample.reserve(values.size() / kStep + 1);
  float high = -std::numeric_limits<float>::infinity();
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (std::isfinite(values[i])) {
      high = std::max(high, values[i]);
      if (i % kStep == 0) {
        sample.push_back(values[i]);
      }
    }
  }
  if (!std::isfinite(high)) {
    return extent;
  }
  if (sample.empty()) {
    sample.push_back(high);
  }
  const auto low = sample.begin() + static_cast<std::ptrdiff_t>(sample.size() / 100);
  std::nth_element(sample.begin(), low, sample.end());
  extent.low = *low;
  extent.high = high;
  extent.any = true;
  return extent;
}

bool followsValues(const MapStyle& style) {
  return style.value == MapValue::Logit || style.pool == Pool::Mean;
}

}  // namespace

const std::vector<float>& shownValues(const Tile& tile, const MapStyle& style) {
  if (style.value == MapValue::Logit) {
    return tile.logit;
  }
  switch (style.pool) {
    case Pool::Mean:
      return tile.mean;
    case Pool::Mass:
      return tile.mass;
    default:
      return tile.max;
  }
}

QString colorWords(const MapStyle& style, int level) {
  const auto text = [](const char* source) { return QCoreApplication::translate("AttentionMapView", source); };
  const QString cells = QStringLiteral("%1 × %1").arg(std::int64_t{1} << level);
  if (style.value == MapValue::Logit) {
    return level == 0 ? text("logit, linear") : text("logit, linear, largest of %1").arg(cells);
  }
  const QString scale = style.scale == ColorScale::Log ? text("log") : text("linear");
  switch (style.pool) {
    case Pool::Mean:
      return text("probability, %1, mean-pooled %2").arg(scale, cells);
    case Pool::Mass:
      return text("mass, %1, summed over keys %2").arg(scale, cells);
    default:
      return text("probability, %1, max-pooled %2").arg(scale, cells);
  }
}

double logFloor(std::int64_t tokens) {
  const double decades = std::ceil(std::log10(static_cast<double>(std::max<std::int64_t>(tokens, 1))) - 1e-9);
  return std::pow(10.0, -std::max(4.0, decades));
}

void RangeTracker::reset() {
  means_.clear();
  logits_.clear();
  looked_.clear();
}

bool RangeTracker::see(const Tile& tile, const MapStyle& style) {
  if (!followsValues(style) || !looked_.emplace(tile.key, tile.exact, style.value == MapValue::Logit).second) {
    return false;
  }
  const Extent extent = extentOf(shownValues(tile, style));
  if (!extent.any) {
    return false;
  }
  auto& levels = style.value == MapValue::Logit ? logits_ : means_;
  const auto level = static_cast<std::size_t>(tile.key.level);
  if (levels.size() <= level) {
    levels.resize(level + 1);
  }
  Seen& seen = levels[level];
  const Seen before = seen;
  if (style.value == MapValue::Logit) {
    const double low = std::floor(extent.low), high = std::ceil(extent.high);
    seen.low = seen.any ? std::min(seen.low, low) : low;
    seen.high = seen.any ? std::max(seen.high, high) : high;
  } else {
    const double high = roundUp(std::clamp(extent.high, 1e-12, 1.0));
    seen.high = seen.any ? std::max(seen.high, high) : high;
  }
  seen.any = true;
  return !before.any || before.low != seen.low || before.high != seen.high;
}

ColorRange RangeTracker::range(const MapStyle& style, int level, std::int64_t tokens) const {
  const auto& levels = style.value == MapValue::Logit ? logits_ : means_;
  const Seen seen = static_cast<std::size_t>(level) < levels.size() ? levels[static_cast<std::size_t>(level)] : Seen{};
  ColorRange range;
  if (style.value == MapValue::Logit) {
    range.low = seen.any ? seen.low : -1;
    range.high = seen.any ? std::max(seen.high, seen.low + 1) : 1;
    return range;
  }
  range.scale = style.scale;
  range.low = style.scale == ColorScale::Log ? logFloor(tokens) : 0;
  range.high = style.pool == Pool::Mean && seen.any ? seen.high : 1;
  if (range.high < range.low * 10) {
    range.high = range.low * 10;
  }
  return range;
}

}  // namespace headscope::ui
