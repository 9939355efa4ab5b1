#include "ui/map/tile_images.h"

#include <algorithm>

namespace headscope::ui {

std::shared_ptr<const TileImages::Pixels> TileImages::image(const Tile& tile, const std::vector<float>& values,
                                                            const Coloring& coloring) {
  const Key key{tile.key, tile.exact, number(coloring)};
  const auto found = entries_.find(key);
  if (found != entries_.end()) {
    order_.splice(order_.begin(), order_, found->second.place);
    return found->second.pixels;
  }
  auto pixels = std::make_shared<Pixels>(values.size());
  colorize(values.data(), values.size(), *coloring.map, coloring.range, coloring.noValue, pixels->data());
  ++colored_;
  order_.push_front(key);
  entries_.emplace(key, Entry{pixels, order_.begin()});
  if (tile.exact) {
    // The preview that it replaces is never asked for again.
    const auto preview = entries_.find(Key{tile.key, false, key.coloring});
    if (preview != entries_.end()) {
      order_.erase(preview->second.place);
      entries_.erase(preview);
    }
  }
  trim();
  return pixels;
}

void TileImages::setLimit(std::uint64_t bytes) {
  limit_ = bytes;
  trim();
}

void TileImages::trim() {
  while (bytes() > limit_ && entries_.size() > 1) {
    entries_.erase(order_.back());
    order_.pop_back();
  }
}

int TileImages::number(const Coloring& coloring) {
  const auto found = std::find(colorings_.begin(), colorings_.end(), coloring);
  if (found == colorings_.end()) {
    colorings_.push_back(coloring);
    return static_cast<int>(colorings_.size()) - 1;
  }
  return static_cast<int>(found - colorings_.begin());
}

}  // namespace headscope::ui
