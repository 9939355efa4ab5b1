#pragma once

// Rectangles of one head's attention map, computed from q, k and log-sum-exp for the cells asked for.

#include <cstdint>
#include <vector>

#include "core/maps/head_view.h"

namespace headscope {

enum class Pool {
  Max,   ///< largest probability in the cell: keeps one-token columns and diagonals at their height
  Mean,  ///< mean over the visible (query, key) pairs in the cell; 0 if there is none
  Mass,  ///< sum over the cell's keys, mean over its queries: rows sum to 1 at every zoom level
};

struct MapRange {
  std::int64_t rowBegin = 0, rowEnd = 0;  ///< queries [rowBegin, rowEnd)
  std::int64_t colBegin = 0, colEnd = 0;  ///< keys [colBegin, colEnd)
  std::int64_t rows() const noexcept { return rowEnd - rowBegin; }
  std::int64_t cols() const noexcept { return colEnd - colBegin; }
  bool operator==(const MapRange&) const = default;
};

/// One cell a pair, row-major [rows, cols]; 0 above the diagonal and outside the window.
std::vector<float> probabilities(const HeadView& head, const MapRange& range, const JobControl& control = {});

/// Likewise logits (after any softcap); −inf where the key is not visible.
std::vector<float> logits(const HeadView& head, const MapRange& range, const JobControl& control = {});

/// Pooled to `height` × `width` cells: cell (y, x) covers rows [rowBegin + ⌊y·n/height⌋, rowBegin + ⌊(y+1)·n/height⌋),
/// columns likewise. Exact: probabilities are pooled, nothing is sampled.
std::vector<float> pooled(const HeadView& head, const MapRange& range, std::int64_t height, std::int64_t width,
                          Pool pool, const JobControl& control = {});

/// Max, mean and mass from one pass.
struct PooledMaps {
  std::int64_t height = 0, width = 0;
  std::vector<float> max, mean, mass;  ///< each [height, width]
};
PooledMaps pooledAll(const HeadView& head, const MapRange& range, std::int64_t height, std::int64_t width,
                     const JobControl& control = {});

/// A cheap early picture: only every `stride`-th query row of each cell row (mass is unbiased, max a lower bound).
PooledMaps pooledPreview(const HeadView& head, const MapRange& range, std::int64_t height, std::int64_t width,
                         std::int64_t rowsPerCell, const JobControl& control = {});

}  // namespace headscope
