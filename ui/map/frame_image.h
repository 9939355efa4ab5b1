#pragma once

// One picture of the map in device pixels, put together from coloured tiles. Every pixel shows the cell under its
// centre; as a cell is never smaller than a pixel at the level that levelFor() gives, no cell is left out, and a
// one-token column stays visible at every zoom. QPainter's scaling gives no such guarantee.

#include <QImage>
#include <QRgb>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "core/maps/tiles.h"
#include "ui/map/map_geometry.h"

namespace headscope::ui {

/// 256 × 256 pixels of a tile `coarser` levels above the wanted one; null: nothing there yet.
struct TilePixels {
  const QRgb* pixels = nullptr;
  int coarser = 0;
  bool awaited = true;  ///< without pixels: there will be some, so the thumbnail stands in
};

struct FrameGround {
  QRgb noValue = 0;  ///< above the diagonal
  QRgb pending = 0;  ///< below it, where nothing is known yet
  /// A small picture of the whole map, [size, size] even parts, shown where there is no tile yet; null: none.
  const QRgb* thumbnail = nullptr;
  int size = 0;
};

/// (x, y) of the tiles of `level` that the frame shows, row by row.
std::vector<std::pair<std::int64_t, std::int64_t>> tilesInFrame(const MapFrame& frame, int level);

/// `frame.rect` in device pixels; the image must have its size and format RGB32. `tileAt` is asked once for each tile
/// of `level` in view (x and y set).
void composeFrame(QImage& image, const MapFrame& frame, int level,
                  const std::function<TilePixels(std::int64_t x, std::int64_t y)>& tileAt, const FrameGround& ground);

}  // namespace headscope::ui
