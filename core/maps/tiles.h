#pragma once

// Tiles: 256 × 256 cells at power-of-two levels. At level L a cell covers 2^L × 2^L (query, key) pairs. Coarser levels
// are derived from finer ones where these are there. The cache holds values, never colours.

#include <array>
#include <compare>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "core/maps/attention_map.h"
#include "core/maps/pooling.h"

namespace headscope {

constexpr int kTileSize = 256;

struct TileKey {
  std::uint64_t view = 0;  ///< identifies capture, layer, head and interventions: see TileStore::viewId
  int level = 0;
  std::int64_t x = 0, y = 0;  ///< in tiles of this level: keys [x·256·2^L, …), queries [y·256·2^L, …)
  auto operator<=>(const TileKey&) const = default;
};

/// Values of one tile for every pooling at once; NaN marks cells with no visible pair ("no value", not zero).
struct Tile {
  TileKey key;
  bool exact = true;              ///< false: from sampled rows
  std::vector<float> max;         ///< [256, 256]
  std::vector<float> mean;        ///< [256, 256]
  std::vector<float> mass;        ///< [256, 256]
  std::vector<float> logit;       ///< [256, 256] at level 0 only, else the largest logit in the cell
  float lowest = 0, highest = 0;  ///< of `max`, over cells with a value
};

/// The part of the map that a tile covers, clipped to it.
MapRange tileRange(const TileKey& key, std::int64_t tokens) noexcept;

/// False if no pair of the tile is visible: such tiles are never computed.
bool tileHasValues(const TileKey& key, std::int64_t tokens, std::optional<std::int64_t> window) noexcept;

/// Exact tile, from q and k. Level ≥ 1 costs 4^level times a level-0 tile; see deriveTile.
std::shared_ptr<const Tile> computeTile(const HeadView& head, const TileKey& key, const JobControl& control = {});

/// Exact tile of level ≥ 1 from its four exact children (left to right, top to bottom; null where a child has no
/// values). Max is exact, mass and mean follow from the numbers of queries and of visible pairs.
std::shared_ptr<const Tile> deriveTile(const TileKey& key, std::int64_t tokens, std::optional<std::int64_t> window,
                                       const std::array<std::shared_ptr<const Tile>, 4>& children);
std::array<TileKey, 4> childKeys(const TileKey& key) noexcept;
TileKey parentKey(const TileKey& key) noexcept;

/// Sampled tile (`rowsPerCell` of the 2^level rows of each cell), marked inexact unless that is all of them.
std::shared_ptr<const Tile> previewTile(const HeadView& head, const TileKey& key, int rowsPerCell,
                                        const JobControl& control = {});

/// A tile of all rows' values on `grid`, which are the cells of `key` (wherever they were computed).
std::shared_ptr<const Tile> finishTile(const TileKey& key, const CellGrid& grid, const CellValues& values,
                                       std::optional<std::int64_t> window);

/// Number of levels such that the coarsest holds the whole map in one tile.
int tileLevels(std::int64_t tokens) noexcept;

/// The level that one pass over q·kᵀ makes for the whole map (1024 cells a side at most, 513 at least); coarser ones
/// are derived from it.
int baseLevel(std::int64_t tokens) noexcept;

/// Multiply-adds of an exact tile computed from q and k.
double tileWork(const TileKey& key, std::int64_t tokens, std::optional<std::int64_t> window, int dim) noexcept;

/// A tile that is computed in pieces, so that its caller can look up in between.
class TileBuilder {
 public:
  TileBuilder(std::shared_ptr<const HeadView> head, const TileKey& key, int rowsPerCell = 0);
  ~TileBuilder();

  const TileKey& key() const noexcept { return key_; }
  /// Works off about `work` multiply-adds, at least one row of cells. True when the tile is complete.
  bool step(double work, const JobControl& control = {});
  /// Once, when step() has returned true.
  std::shared_ptr<const Tile> take();

 private:
  void computePairs();

  std::shared_ptr<const HeadView> head_;
  TileKey key_;
  int rowsPerCell_ = 0;
  MapRange range_;
  std::int64_t nextCellRow_ = 0;
  std::shared_ptr<Tile> tile_;
};

}  // namespace headscope
