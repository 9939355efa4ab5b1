#include "core/export/map_picture.h"

#include <algorithm>
#include <cmath>

namespace headscope {
namespace {

constexpr double kLowestProbability = 1e-5;
constexpr int kShades = 255;  // index 255 is "no value"

// viridis at tenths of its length (../shared/reference/rendering.md); straight lines between them.
constexpr Rgb kViridis[] = {{68, 1, 84},    {72, 40, 120},  {62, 73, 137},  {49, 104, 142}, {38, 130, 142},
                            {31, 158, 137}, {53, 183, 121}, {110, 206, 88}, {181, 222, 43}, {253, 231, 37}};

std::vector<Rgb> palette() {
  std::vector<Rgb> colours;
  constexpr double kSteps = std::size(kViridis) - 1;
  for (int shade = 0; shade < kShades; ++shade) {
    const double at = kSteps * shade / (kShades - 1);
    const auto low = std::min(static_cast<std::size_t>(at), std::size(kViridis) - 2);
    Rgb colour{};
    for (std::size_t part = 0; part < 3; ++part) {
      const double from = kViridis[low][part];
      const double to = kViridis[low + 1][part];
      colour[part] = static_cast<std::uint8_t>(std::lround(from + (to - from) * (at - static_cast<double>(low))));
    }
    colours.push_back(colour);
  }
  colours.push_back({255, 255, 255});
  return colours;
}

}  // namespace

IndexedImage mapPicture(std::span<const float> cells, std::int64_t width, std::int64_t height, PictureScale scale) {
  const bool log = scale == PictureScale::Log;
  const auto place = [log](float cell) {
    return log ? std::log(std::max(static_cast<double>(cell), kLowestProbability)) : static_cast<double>(cell);
  };
  double low = INFINITY;
  double high = -INFINITY;
  for (const float cell : cells) {
    if (std::isfinite(cell)) {
      low = std::min(low, place(cell));
      high = std::max(high, place(cell));
    }
  }
  low = log ? std::log(kLowestProbability) : low;
  const double span = high > low ? high - low : 1;
  IndexedImage image{width, height, {}, palette()};
  image.pixels.reserve(cells.size());
  for (const float cell : cells) {
    const double share = std::isfinite(cell) ? (place(cell) - low) / span : 0;
    image.pixels.push_back(std::isfinite(cell) ? static_cast<std::uint8_t>(std::lround(share * (kShades - 1)))
                                               : kShades);
  }
  return image;
}

}  // namespace headscope
