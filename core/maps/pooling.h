#pragma once

// Pools a rectangle of a map into cells while it is swept: largest probability, sum of probabilities and largest
// logit of each cell, from one pass. All maps, tiles, previews and thumbnails come from here.

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "core/base/job_control.h"
#include "core/maps/attention_map.h"
#include "core/maps/sweep.h"

namespace headscope {

/// Cells by their edges: cell (y, x) covers rows [rows[y], rows[y + 1]) and keys [cols[x], cols[x + 1]).
struct CellGrid {
  std::vector<std::int64_t> rows, cols;  ///< rising; one more than there are cells

  std::int64_t height() const noexcept { return static_cast<std::int64_t>(rows.size()) - 1; }
  std::int64_t width() const noexcept { return static_cast<std::int64_t>(cols.size()) - 1; }
};

/// Cell (y, x) of `height` × `width` covers rows [begin + ⌊y·n/height⌋, begin + ⌊(y+1)·n/height⌋), columns likewise.
CellGrid evenGrid(const MapRange& range, std::int64_t height, std::int64_t width);

/// Cells of `side` × `side` pairs; the last ones may be smaller.
CellGrid squareGrid(const MapRange& range, std::int64_t side);

/// What the passes over a grid leave behind, [height, width] each.
struct CellValues {
  std::vector<float> max;    ///< log2 of the largest probability; −inf where nothing was visible
  std::vector<float> sum;    ///< Σ probability over the cell's visible pairs; empty if it wasn't asked for
  std::vector<float> logit;  ///< largest logit; −inf likewise; empty if it wasn't asked for
};

struct PoolOptions {
  bool sum = true;
  bool logit = false;
  std::int64_t rowsPerCell = 0;  ///< 0: every row; otherwise so many rows of each cell row, spread over it
};

/// Where query rows come from: fills `target` with prepared rows for the given rising tokens.
using RowSource = std::function<void(std::span<const std::int64_t> tokens, std::vector<QueryRow>& target)>;

/// Runs on all cores. The result does not depend on the number of threads.
CellValues poolCells(const LogitRule& rule, const float* keys, const RowSource& source, const CellGrid& grid,
                     const PoolOptions& options, const JobControl& control = {});
CellValues poolCells(const HeadView& head, const CellGrid& grid, const PoolOptions& options,
                     const JobControl& control = {});

/// The rows of cell row y that a pass looks at: all, or `rowsPerCell` of them, one at a place drawn by a fixed hash in
/// each of as many equal parts (so that no period of the map meets a period of the sampling).
void pickRows(const CellGrid& grid, std::int64_t y, std::int64_t rowsPerCell, std::vector<std::int64_t>& rows);

/// Number of rows that pickRows gives.
std::int64_t pickedRows(const CellGrid& grid, std::int64_t y, std::int64_t rowsPerCell) noexcept;

/// Where finished cells go: rows of `stride` floats. `mean` and `mass` are left alone if no sums were asked for,
/// `logit` may be null.
struct FinishedCells {
  float* max = nullptr;
  float* mean = nullptr;
  float* mass = nullptr;
  float* logit = nullptr;
  std::int64_t stride = 0;
};

/// Max, mean and mass of the header attention_map.h from the values of a pass over `rowsPerCell` rows (0: all).
/// `empty` is what a cell without a visible pair gets.
void finishCells(const CellGrid& grid, const CellValues& values, std::optional<std::int64_t> window,
                 std::int64_t rowsPerCell, float empty, const FinishedCells& target);
PooledMaps finishMaps(const CellGrid& grid, const CellValues& values, std::optional<std::int64_t> window,
                      std::int64_t rowsPerCell, float empty);

}  // namespace headscope
