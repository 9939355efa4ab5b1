#pragma once

// cos and sin of one RoPE at a capture's positions, in double, made once and shared by all heads that use it.

#include <cstdint>
#include <span>
#include <vector>

#include "core/rope/rope.h"

namespace headscope {

class RotationTable {
 public:
  RotationTable(Rope rope, std::span<const std::int64_t> positions);

  /// Rotates row `index` (of the table's positions) in place; times the RoPE's attention scaling on rotary dims.
  void rotate(std::int64_t index, double* row) const noexcept;

  const Rope& rope() const noexcept { return rope_; }
  std::span<const std::int64_t> positions() const noexcept { return positions_; }

 private:
  Rope rope_;
  std::vector<std::int64_t> positions_;
  std::vector<double> cosSin_;  ///< [positions, 2 · channels] cos then sin, scaled
};

}  // namespace headscope
