#pragma once

// Where tokens lie on the screen. The map is always square with one scale for both axes, never shows anything beyond
// the text, and never a span below one token.

#include <QRect>
#include <cstdint>
#include <optional>

#include "ui/session/session.h"

namespace headscope::ui {

double span(const MapViewport& viewport);  ///< tokens along an axis

/// The square viewport inside the map that shows at least `wanted` (as far as the map reaches), around its middle.
MapViewport soundViewport(const MapViewport& wanted, std::int64_t tokens);
/// Zoomed by `factor` (above 1: closer) so that the point (key, query) stays where it is.
MapViewport zoomed(const MapViewport& viewport, double factor, double key, double query, std::int64_t tokens);
MapViewport panned(const MapViewport& viewport, double keys, double queries, std::int64_t tokens);
/// `tokensAcross` tokens across, around (key, query).
MapViewport centered(double key, double query, double tokensAcross, std::int64_t tokens);

/// The map's place in pixels (device pixels or logical ones) and what it shows.
struct MapFrame {
  QRect rect;
  MapViewport viewport;
  std::int64_t tokens = 0;

  bool valid() const { return tokens > 0 && rect.width() > 0 && rect.height() > 0; }
  double tokensPerPixel() const { return span(viewport) / rect.width(); }
  double keyAt(double x) const;  ///< token coordinate; the cell is round(keyAt(x))
  double queryAt(double y) const;
  double xOf(double key) const;  ///< pixel of a token coordinate (key − 0.5 is the cell's left edge)
  double yOf(double query) const;
  std::optional<Cursor> cellAt(double x, double y) const;  ///< none outside the map
};

}  // namespace headscope::ui
