#include "ui/style/color_map.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <string_view>

#include "ui/style/color_tables.h"

namespace headscope::ui {
namespace {

struct Rgb {
  double r = 0, g = 0, b = 0;  ///< 0 … 1
};

Rgb mix(const Rgb& a, const Rgb& b, double t) {
  return {a.r + (b.r - a.r) * t, a.g + (b.g - a.g) * t, a.b + (b.b - a.b) * t};
}

QRgb pixel(const Rgb& c) {
  const auto byte = [](double v) { return static_cast<int>(std::lround(std::clamp(v, 0.0, 1.0) * 255.0)); };
  return qRgb(byte(c.r), byte(c.g), byte(c.b));
}

int hexDigit(char c) {
  return c <= '9' ? c - '0' : c - 'a' + 10;
}

Rgb published(std::string_view table, double position) {
  const auto entry = [table](std::size_t i) {
    const auto byte = [table, i](std::size_t channel) {
      const std::size_t at = i * 6 + channel * 2;
      return (hexDigit(table[at]) * 16 + hexDigit(table[at + 1])) / 255.0;
    };
    return Rgb{byte(0), byte(1), byte(2)};
  };
  const std::size_t last = table.size() / 6 - 1;
  const double x = position * static_cast<double>(last);
  const std::size_t i = std::min(static_cast<std::size_t>(x), last - 1);
  return mix(entry(i), entry(i + 1), x - static_cast<double>(i));
}

// sRGB (IEC 61966-2-1) to linear light and back.
double toLinear(double v) {
  return v <= 0.04045 ? v / 12.92 : std::pow((v + 0.055) / 1.055, 2.4);
}
double fromLinear(double v) {
  return v <= 0.0031308 ? v * 12.92 : 1.055 * std::pow(v, 1 / 2.4) - 0.055;
}

/// Grey of equal steps in CIE lightness L*, from nearly black to nearly white.
Rgb grey(double position) {
  const double lightness = 8.0 + 89.0 * position;
  const double y = lightness > 8.0 ? std::pow((lightness + 16.0) / 116.0, 3.0) : lightness / 903.3;
  const double v = fromLinear(y);
  return {v, v, v};
}

/// Blue – light grey – vermilion (Okabe and Ito's pair), mixed in linear light on either side of the middle.
Rgb diverging(double position) {
  constexpr Rgb kLow{0.0, 0.302, 0.529}, kMiddle{0.937, 0.937, 0.925}, kHigh{0.667, 0.231, 0.0};
  const double t = std::abs(position - 0.5) * 2.0;
  const Rgb& end = position < 0.5 ? kLow : kHigh;
  // Equal steps of the cube root of light are about equal steps for the eye.
  const auto channel = [t](double middle, double far) {
    const double root = std::cbrt(toLinear(middle)) * (1 - t) + std::cbrt(toLinear(far)) * t;
    return fromLinear(root * root * root);
  };
  return {channel(kMiddle.r, end.r), channel(kMiddle.g, end.g), channel(kMiddle.b, end.b)};
}

Rgb colorOf(const QString& name, double position) {
  if (name == QLatin1String("magma")) {
    return published(magmaTable(), position);
  }
  if (name == QLatin1String("cividis")) {
    return published(cividisTable(), position);
  }
  if (name == QLatin1String("greys")) {
    return grey(position);
  }
  if (name == QLatin1String("diverging")) {
    return diverging(position);
  }
  return published(viridisTable(), position);
}

constexpr std::size_t kChunk = 256;

/// Positions × (kSize − 1), clamped; NaN becomes kSize. Branch-free, so that the compiler vectorizes it.
template <typename Transform>
void indices(const float* values, std::size_t count, Transform transform, std::int32_t* out) {
  constexpr float kTop = ColorMap::kSize - 1;
  for (std::size_t i = 0; i < count; ++i) {
    const float v = values[i];
    float x = transform(v) + 0.5f;
    x = x > 0.0f ? x : 0.0f;
    x = x < kTop ? x : kTop;
    const auto index = static_cast<std::int32_t>(x);
    out[i] = v == v ? index : ColorMap::kSize;
  }
}

}  // namespace

float fastLog2(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const float exponent = static_cast<float>(static_cast<std::int32_t>(bits >> 23) - 127);
  const float t = std::bit_cast<float>((bits & 0x007fffffu) | 0x3f800000u) - 1.0f;
  // log2(1 + t) = t + t (1 − t) r(t): exact at both ends, hence continuous; r by least squares on Chebyshev nodes.
  const float r = 0.44252727f + t * (-0.27538621f + t * (0.1811542f + t * (-0.09481475f + t * 0.02528551f)));
  return exponent + t + t * (1.0f - t) * r;
}

double ColorRange::position(double v) const {
  const double x =
      scale == ColorScale::Log ? std::log(std::max(v, low) / low) / std::log(high / low) : (v - low) / (high - low);
  return std::isnan(x) ? 0.0 : std::clamp(x, 0.0, 1.0);
}

double ColorRange::value(double x) const {
  return scale == ColorScale::Log ? low * std::pow(high / low, x) : low + (high - low) * x;
}

ColorMap::ColorMap(const QString& name) : name_(name) {
  for (int i = 0; i < kSize; ++i) {
    table_[static_cast<std::size_t>(i)] = pixel(colorOf(name, static_cast<double>(i) / (kSize - 1)));
  }
}

const ColorMap& ColorMap::named(const QString& name) {
  static const std::array<ColorMap, 5> maps{ColorMap(QStringLiteral("viridis")), ColorMap(QStringLiteral("magma")),
                                            ColorMap(QStringLiteral("cividis")), ColorMap(QStringLiteral("greys")),
                                            ColorMap(QStringLiteral("diverging"))};
  const auto it = std::find_if(maps.begin(), maps.end(), [&name](const ColorMap& map) { return map.name_ == name; });
  return it == maps.end() ? maps.front() : *it;
}

QStringList ColorMap::names() {
  return {QStringLiteral("viridis"), QStringLiteral("magma"), QStringLiteral("cividis"), QStringLiteral("greys")};
}

QRgb ColorMap::at(double position) const {
  const double x = std::clamp(std::isnan(position) ? 0.0 : position, 0.0, 1.0) * (kSize - 1);
  return table_[static_cast<std::size_t>(std::lround(x))];
}

void colorize(const float* values, std::size_t count, const ColorMap& map, const ColorRange& range, QRgb noValue,
              QRgb* pixels) {
  std::array<QRgb, ColorMap::kSize + 1> table;
  std::copy(map.table().begin(), map.table().end(), table.begin());
  table[ColorMap::kSize] = noValue | 0xff000000u;

  constexpr float kTop = ColorMap::kSize - 1;
  const bool log = range.scale == ColorScale::Log;
  const auto low = static_cast<float>(range.low);
  const float lowLog = log ? fastLog2(low) : 0.0f;
  const auto span = static_cast<float>(log ? std::log2(range.high / range.low) : range.high - range.low);
  const float factor = span > 0 ? kTop / span : 0.0f;
  std::array<std::int32_t, kChunk> index;
  for (std::size_t begin = 0; begin < count; begin += kChunk) {
    const std::size_t n = std::min(kChunk, count - begin);
    if (log) {
      // Zero, negative and subnormal values are below every floor.
      indices(
          values + begin, n, [=](float v) { return (fastLog2(v > low ? v : low) - lowLog) * factor; }, index.data());
    } else {
      indices(
          values + begin, n, [=](float v) { return (v - low) * factor; }, index.data());
    }
    for (std::size_t i = 0; i < n; ++i) {
      pixels[begin + i] = table[static_cast<std::size_t>(index[i])];
    }
  }
}

}  // namespace headscope::ui
