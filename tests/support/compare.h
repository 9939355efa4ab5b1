#pragma once

// How far numbers are apart.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "core/files/safetensors.h"

namespace headscope::test {

inline double largest(const std::vector<double>& values) {
  double most = 0;
  for (const double value : values) {
    most = std::max(most, std::abs(value));
  }
  return most;
}

/// Largest absolute difference; infinite if the lengths differ or a number is not finite.
inline double difference(const std::vector<double>& a, const std::vector<double>& b) {
  double most = a.size() == b.size() ? 0 : INFINITY;
  for (std::size_t index = 0; index < std::min(a.size(), b.size()); ++index) {
    const double apart = std::abs(a[index] - b[index]);
    most = std::isfinite(apart) ? std::max(most, apart) : INFINITY;
  }
  return most;
}

inline std::vector<std::int64_t> goldenIds(const SafetensorsFile& golden) {
  const TensorView& view = golden.at("ids");
  std::vector<std::int64_t> ids(static_cast<std::size_t>(view.elements()));
  std::memcpy(ids.data(), view.bytes.data(), view.bytes.size());
  return ids;
}

}  // namespace headscope::test
