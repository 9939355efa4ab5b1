#pragma once

// From a tile's values to colours: which of its values the style shows, and which range of values the colours span.

#include <QRgb>
#include <QString>
#include <cstdint>
#include <set>
#include <tuple>
#include <vector>

#include "core/maps/tiles.h"
#include "ui/session/session.h"
#include "ui/style/color_map.h"

namespace headscope::ui {

/// Max, mean, mass or logit of a tile.
const std::vector<float>& shownValues(const Tile& tile, const MapStyle& style);

/// "probability, log, max-pooled 8 × 8"
QString colorWords(const MapStyle& style, int level);

/// The floor of a log scale: a power of ten not above 1/tokens (uniform attention), at most 1e-4.
double logFloor(std::int64_t tokens);

/// The range in force. Probabilities have a fixed one where it means the same at every level (max, mass); means and
/// logits span what was seen of this head so far, in round steps, so that colours don't flicker while panning.
class RangeTracker {
 public:
  void reset();  ///< another map
  /// True if the range of this style and level has changed.
  bool see(const Tile& tile, const MapStyle& style);
  ColorRange range(const MapStyle& style, int level, std::int64_t tokens) const;

 private:
  struct Seen {
    double low = 0, high = 0;
    bool any = false;
  };
  std::vector<Seen> means_, logits_;                  ///< [level]
  std::set<std::tuple<TileKey, bool, bool>> looked_;  ///< tile, exact, logit
};

}  // namespace headscope::ui
