#include "core/maps/tile_plan.h"

#include <algorithm>
#include <cmath>

namespace headscope {
namespace {

// Tiles that touch the part grown by `margin` tiles, unsorted.
std::vector<TileKey> tilesIn(const MapShape& map, const VisiblePart& part, int level, std::int64_t margin) {
  const double side = std::ldexp(kTileSize, level);
  const auto last = static_cast<std::int64_t>(std::ceil(static_cast<double>(map.tokens) / side)) - 1;
  const auto tileOf = [side, last](double token) {
    return static_cast<std::int64_t>(std::clamp(std::floor(token / side), -2.0, static_cast<double>(last) + 2.0));
  };
  const auto endOf = [&](double begin, double end) {  // a part that ends at a tile's edge doesn't touch the next one
    return std::max(tileOf(begin), tileOf(std::nextafter(end, begin)));
  };
  std::vector<TileKey> tiles;
  const std::int64_t yEnd = std::min(endOf(part.rowBegin, part.rowEnd) + margin, last);
  const std::int64_t xEnd = std::min(endOf(part.colBegin, part.colEnd) + margin, last);
  for (std::int64_t y = std::max<std::int64_t>(tileOf(part.rowBegin) - margin, 0); y <= yEnd; ++y) {
    for (std::int64_t x = std::max<std::int64_t>(tileOf(part.colBegin) - margin, 0); x <= std::min(xEnd, y); ++x) {
      const TileKey key{map.view, level, x, y};
      if (tileHasValues(key, map.tokens, map.window)) {
        tiles.push_back(key);
      }
    }
  }
  return tiles;
}

void sortCentreOut(std::vector<TileKey>& tiles, const VisiblePart& part, int level) {
  const double side = std::ldexp(kTileSize, level);
  const double row = (part.rowBegin + part.rowEnd) / 2 / side - 0.5;
  const double col = (part.colBegin + part.colEnd) / 2 / side - 0.5;
  const auto distance = [row, col](const TileKey& key) {
    return std::hypot(static_cast<double>(key.y) - row, static_cast<double>(key.x) - col);
  };
  std::stable_sort(tiles.begin(), tiles.end(),
                   [&distance](const TileKey& a, const TileKey& b) { return distance(a) < distance(b); });
}

bool sound(const VisiblePart& part) {
  const auto finite = [](double begin, double end) {
    return std::isfinite(begin) && std::isfinite(end) && begin < end;
  };
  return finite(part.rowBegin, part.rowEnd) && finite(part.colBegin, part.colEnd);
}

}  // namespace

std::vector<TileKey> visibleTiles(const MapShape& map, const VisiblePart& part, int level) {
  if (!sound(part)) {
    return {};
  }
  std::vector<TileKey> tiles = tilesIn(map, part, level, 0);
  sortCentreOut(tiles, part, level);
  return tiles;
}

std::vector<TileKey> likelyTiles(const MapShape& map, const VisiblePart& part, int level, std::size_t limit) {
  if (!sound(part)) {
    return {};
  }
  std::vector<TileKey> tiles;
  const auto take = [&](int at, std::int64_t margin) {
    std::vector<TileKey> more = tilesIn(map, part, at, margin);
    sortCentreOut(more, part, at);
    tiles.insert(tiles.end(), more.begin(), more.end());
  };
  take(level, 1);
  if (level + 1 < tileLevels(map.tokens)) {
    take(level + 1, 0);
  }
  if (level > 0) {
    take(level - 1, 0);
  }
  tiles.resize(std::min(tiles.size(), limit));
  return tiles;
}

}  // namespace headscope
