#pragma once

// A table of numbers as a picture: one pixel a cell.

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "core/export/png_file.h"

namespace headscope {

enum class PictureScale {
  Linear,  ///< from the smallest to the largest number
  Log,     ///< for probabilities: from 1e-5 (and less) to the largest, by the logarithm
};

/// Cells [height, width] in the colours of viridis (of matplotlib, CC0); numbers that aren't finite are white.
IndexedImage mapPicture(std::span<const float> cells, std::int64_t width, std::int64_t height, PictureScale scale);

}  // namespace headscope
