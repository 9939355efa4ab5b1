#include "core/analysis/packed_rows.h"

namespace headscope {

PackedRows::PackedRows(const double* rows, std::int64_t count, std::int64_t width)
    : count_(count),
      width_(width),
      panels_(static_cast<std::size_t>((count + kPanel - 1) / kPanel * kPanel * width), 0.0) {
  for (std::int64_t row = 0; row < count; ++row) {
    double* panel = panels_.data() + row / kPanel * kPanel * width + row % kPanel;
    const double* source = rows + row * width;
    for (std::int64_t d = 0; d < width; ++d) {
      panel[d * kPanel] = source[d];
    }
  }
}

void PackedRows::products(const double* left, std::int64_t rows, std::int64_t begin, std::int64_t end, double scale,
                          double* out, std::int64_t stride) const {
  rowKernels().product(left, rows, width_, panels_.data(), begin / kPanel, (end + kPanel - 1) / kPanel, scale, out,
                       stride);
}

}  // namespace headscope
