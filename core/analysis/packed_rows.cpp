#include "core/analysis/packed_rows.h"

namespace headscope {

PackedRows::PackedRows(const double* rows, std::int64_t count, std::int64_t width)
    : count_(count),
      width_(width),
      panels_(static_cast<std::size_t>((count + kPanel - 1) / kPanel * kPanel * width), 0.0) {
  for (std::int64_t index = 0; index < count; ++index) {
    place(index, rows + index * width);
  }
}

PackedRows::PackedRows(std::int64_t count, std::int64_t width, const std::function<void(std::int64_t, double*)>& fill)
    : count_(count),
      width_(width),
      panels_(static_cast<std::size_t>((count + kPanel - 1) / kPanel * kPanel * width), 0.0) {
  std::vector<double> row(static_cast<std::size_t>(width));
  for (std::int64_t index = 0; index < count; ++index) {
    fill(index, row.data());
    place(index, row.data());
  }
}

void PackedRows::place(std::int64_t index, const double* row) {
  double* panel = panels_.data() + index / kPanel * kPanel * width_ + index % kPanel;
  for (std::int64_t d = 0; d < width_; ++d) {
    panel[d * kPanel] = row[d];
  }
}

void PackedRows::products(const double* left, std::int64_t rows, std::int64_t begin, std::int64_t end, double scale,
                          double* out, std::int64_t stride) const {
  rowKernels().product(left, rows, width_, panels_.data(), begin / kPanel, (end + kPanel - 1) / kPanel, scale, out,
                       stride);
}

}  // namespace headscope
