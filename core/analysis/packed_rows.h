#pragma once

// Rows (keys, factors of a bound) in the panel layout that the product kernel reads.

#include <cstdint>
#include <functional>
#include <vector>

#include "core/analysis/row_kernels.h"

namespace headscope {

class PackedRows {
 public:
  PackedRows() = default;
  /// `rows` [count, width], row-major.
  PackedRows(const double* rows, std::int64_t count, std::int64_t width);
  /// Rows that are made one by one: fill(index, row) writes all of row [width].
  PackedRows(std::int64_t count, std::int64_t width, const std::function<void(std::int64_t, double*)>& fill);

  std::int64_t count() const noexcept { return count_; }
  std::int64_t width() const noexcept { return width_; }

  /// out[r · stride + i] = scale · left_r · packed_i for all i from firstIndex() to at least `end`; `left` is
  /// [rows, width]. `begin` is rounded down to a whole panel, `end` up: `out` must hold paddedLength(begin, end) a row.
  void products(const double* left, std::int64_t rows, std::int64_t begin, std::int64_t end, double scale, double* out,
                std::int64_t stride) const;

  static std::int64_t firstIndex(std::int64_t begin) noexcept { return begin / kPanel * kPanel; }
  static std::int64_t paddedLength(std::int64_t begin, std::int64_t end) noexcept {
    return (end + kPanel - 1) / kPanel * kPanel - firstIndex(begin);
  }

 private:
  void place(std::int64_t index, const double* row);

  std::int64_t count_ = 0, width_ = 0;
  std::vector<double> panels_;
};

}  // namespace headscope
