// From sums and exponents to the values of a map.

#include <algorithm>

#include "core/base/parallel.h"
#include "core/maps/pooling.h"
#include "core/maps/visible_pairs.h"

namespace headscope {
namespace {

// Visible pairs of the picked rows with keys [begin, end).
std::int64_t pairsOf(std::optional<std::int64_t> window, const std::vector<std::int64_t>& rows, std::int64_t begin,
                     std::int64_t end) {
  if (rows.empty() || begin >= end || begin > rows.back()) {
    return 0;
  }
  const auto count = static_cast<std::int64_t>(rows.size());
  if (end - 1 <= rows.front() && begin >= firstVisibleKey(window, rows.back())) {
    return count * (end - begin);
  }
  if (rows.back() - rows.front() + 1 == count) {
    return visiblePairs(window, rows.front(), rows.back() + 1, begin, end);
  }
  std::int64_t pairs = 0;
  for (const std::int64_t t : rows) {
    pairs += visiblePairs(window, t, t + 1, begin, end);
  }
  return pairs;
}

void finishCellRow(const CellGrid& grid, const CellValues& values, std::optional<std::int64_t> window, std::int64_t y,
                   const std::vector<std::int64_t>& rows, float empty, const FinishedCells& target) {
  const std::int64_t from = y * grid.width();
  const std::int64_t to = y * target.stride;
  const auto width = static_cast<std::size_t>(grid.width());
  std::copy_n(values.max.begin() + from, width, target.max + to);
  kernels().powers(target.max + to, width);
  const float perRow = rows.empty() ? 0.0f : 1.0f / static_cast<float>(rows.size());
  for (std::int64_t x = 0; x < grid.width(); ++x) {
    const auto column = static_cast<std::size_t>(x);
    const std::int64_t pairs = pairsOf(window, rows, grid.cols[column], grid.cols[column + 1]);
    const std::size_t cell = static_cast<std::size_t>(from + x);
    if (pairs == 0) {
      target.max[to + x] = empty;
    }
    if (!values.sum.empty()) {
      target.mean[to + x] = pairs == 0 ? empty : values.sum[cell] / static_cast<float>(pairs);
      target.mass[to + x] = pairs == 0 ? empty : values.sum[cell] * perRow;
    }
    if (target.logit != nullptr) {
      target.logit[to + x] = pairs == 0 ? empty : values.logit[cell];
    }
  }
}

}  // namespace

void finishCells(const CellGrid& grid, const CellValues& values, std::optional<std::int64_t> window,
                 std::int64_t rowsPerCell, float empty, const FinishedCells& target) {
  constexpr std::int64_t kRows = 16;
  parallelFor((grid.height() + kRows - 1) / kRows, [&](std::int64_t task) {
    std::vector<std::int64_t> rows;
    for (std::int64_t y = task * kRows; y < std::min((task + 1) * kRows, grid.height()); ++y) {
      rows.clear();
      pickRows(grid, y, rowsPerCell, rows);
      finishCellRow(grid, values, window, y, rows, empty, target);
    }
  });
}

PooledMaps finishMaps(const CellGrid& grid, const CellValues& values, std::optional<std::int64_t> window,
                      std::int64_t rowsPerCell, float empty) {
  PooledMaps maps{grid.height(), grid.width(), {}, {}, {}};
  maps.max.resize(values.max.size());
  maps.mean.resize(values.sum.size());
  maps.mass.resize(values.sum.size());
  finishCells(grid, values, window, rowsPerCell, empty,
              {maps.max.data(), maps.mean.data(), maps.mass.data(), nullptr, maps.width});
  return maps;
}

}  // namespace headscope
