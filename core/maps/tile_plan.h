#pragma once

// Which tiles a view needs, and in which order. Inside core/maps only.

#include <cstdint>
#include <optional>
#include <vector>

#include "core/maps/tiles.h"

namespace headscope {

/// What a pane looks at, in tokens.
struct VisiblePart {
  double rowBegin = 0, rowEnd = 0, colBegin = 0, colEnd = 0;
};

/// The map behind a pane.
struct MapShape {
  std::uint64_t view = 0;
  std::int64_t tokens = 0;
  std::optional<std::int64_t> window;
  int dim = 0;
};

/// Tiles of `level` in view that have values, from the centre outwards.
std::vector<TileKey> visibleTiles(const MapShape& map, const VisiblePart& part, int level);

/// What may be wanted next: one ring around the view, then the next coarser and the next finer level of the view; at
/// most `limit` tiles.
std::vector<TileKey> likelyTiles(const MapShape& map, const VisiblePart& part, int level, std::size_t limit);

}  // namespace headscope
