#pragma once

// Values to colours. A colour map is a table of 1024 colours over [0, 1]; a scale turns values into positions first
// (linear, or log with an explicit floor). NaN means "no value" and gets the ground's colour, never the lowest colour.

#include <QColor>
#include <QRgb>
#include <QString>
#include <QStringList>
#include <array>
#include <cstddef>
#include <cstdint>

namespace headscope::ui {

enum class ColorScale { Log, Linear };

/// The values that get the first and the last colour; what lies outside gets the nearest end. With ColorScale::Log
/// `low` is the floor and positive.
struct ColorRange {
  double low = 0, high = 1;
  ColorScale scale = ColorScale::Linear;

  double position(double value) const;  ///< 0 … 1
  double value(double position) const;  ///< the inverse
  bool operator==(const ColorRange&) const = default;
};

class ColorMap {
 public:
  static constexpr int kSize = 1024;

  /// viridis, magma, cividis, greys, diverging. An unknown name gives viridis.
  static const ColorMap& named(const QString& name);
  static QStringList names();  ///< the sequential ones, in menu order

  const QString& name() const { return name_; }
  QRgb at(double position) const;  ///< clamped to 0 … 1
  const std::array<QRgb, kSize>& table() const { return table_; }

 private:
  explicit ColorMap(const QString& name);
  QString name_;
  std::array<QRgb, kSize> table_{};
};

/// `count` values to opaque pixels (format RGB32).
void colorize(const float* values, std::size_t count, const ColorMap& map, const ColorRange& range, QRgb noValue,
              QRgb* pixels);

/// log2 of a positive normal number by a polynomial, error below 5e-6: libm's is 10 times slower in a loop.
float fastLog2(float value);

}  // namespace headscope::ui
