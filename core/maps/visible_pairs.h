#pragma once

// How many (query, key) pairs of a rectangle are visible, in closed form: the divisor of a mean.

#include <algorithm>
#include <cstdint>
#include <optional>

namespace headscope {

/// First visible key of row t.
inline std::int64_t firstVisibleKey(std::optional<std::int64_t> window, std::int64_t t) noexcept {
  return window && t >= *window ? t - *window + 1 : 0;
}

/// Visible pairs in rows [rowBegin, rowEnd) × keys [colBegin, colEnd).
inline std::int64_t visiblePairs(std::optional<std::int64_t> window, std::int64_t rowBegin, std::int64_t rowEnd,
                                 std::int64_t colBegin, std::int64_t colEnd) noexcept {
  // Σ min(v, limit) over v = 0 … count − 1.
  const auto ramp = [](std::int64_t count, std::int64_t limit) -> std::int64_t {
    if (count <= 0) {
      return 0;
    }
    const std::int64_t rising = std::min(count - 1, limit);
    return rising * (rising + 1) / 2 + (count - 1 - rising) * limit;
  };
  // Σ over rows of min(max(t + shift, 0), limit).
  const auto below = [&](std::int64_t shift, std::int64_t limit) {
    return ramp(rowEnd + shift, limit) - ramp(rowBegin + shift, limit);
  };
  if (rowBegin >= rowEnd || colBegin >= colEnd) {
    return 0;
  }
  std::int64_t pairs = below(1, colEnd) - below(1, colBegin);
  if (window) {
    pairs -= below(1 - *window, colEnd) - below(1 - *window, colBegin);
  }
  return pairs;
}

}  // namespace headscope
