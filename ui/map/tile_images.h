#pragma once

// Coloured tiles, kept apart from their values: another colour map makes new images and computes nothing. Least
// recently used first, by bytes. UI thread only.

#include <QRgb>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <vector>

#include "core/maps/tiles.h"
#include "ui/style/color_map.h"

namespace headscope::ui {

class TileImages {
 public:
  using Pixels = std::vector<QRgb>;  ///< [256, 256]

  /// What colours a value: two equal ones give equal images.
  struct Coloring {
    const ColorMap* map = nullptr;
    ColorRange range;
    QRgb noValue = 0;
    int values = 0;  ///< which of a tile's values: caller's choice
    bool operator==(const Coloring&) const = default;
  };

  explicit TileImages(std::uint64_t limit) : limit_(limit) {}

  std::shared_ptr<const Pixels> image(const Tile& tile, const std::vector<float>& values, const Coloring& coloring);
  void setLimit(std::uint64_t bytes);
  std::uint64_t bytes() const { return entries_.size() * sizeof(QRgb) * kTileSize * kTileSize; }
  std::uint64_t colored() const { return colored_; }  ///< images made so far

 private:
  struct Key {
    TileKey tile;
    bool exact = false;
    int coloring = 0;
    auto operator<=>(const Key&) const = default;
  };
  struct Entry {
    std::shared_ptr<const Pixels> pixels;
    std::list<Key>::iterator place;
  };
  int number(const Coloring& coloring);
  void trim();

  std::uint64_t limit_;
  std::uint64_t colored_ = 0;
  std::map<Key, Entry> entries_;
  std::list<Key> order_;             ///< last used first
  std::vector<Coloring> colorings_;  ///< seen so far; a handful
};

}  // namespace headscope::ui
