#pragma once

// Tiles: 256 × 256 cells at power-of-two levels. At level L a cell covers 2^L × 2^L (query, key) pairs. Coarser levels
// are derived from finer ones where these are there. The cache holds values, never colours.

#include <array>
#include <compare>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "core/maps/attention_map.h"

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

/// Exact tile. Level ≥ 1 costs 4^level times a level-0 tile unless children are in the store.
std::shared_ptr<const Tile> computeTile(const HeadView& head, const TileKey& key, const JobControl& control = {});

/// Sampled tile (every 2^L rows → `rowsPerCell`), marked inexact.
std::shared_ptr<const Tile> previewTile(const HeadView& head, const TileKey& key, int rowsPerCell,
                                        const JobControl& control = {});

/// Number of levels such that the coarsest holds the whole map in one tile.
int tileLevels(std::int64_t tokens);

}  // namespace headscope
