#include "ui/map/frame_image.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

namespace headscope::ui {
namespace {

/// Pixels [begin, end) along one axis that lie in the same tile.
struct Band {
  std::int64_t tile = 0;
  int begin = 0, end = 0;
};

// The cell under each pixel's centre. `low` is the token coordinate of the first pixel's edge, + 0.5.
std::vector<std::int64_t> cellsAlong(double low, double tokensPerPixel, int pixels, int level, std::int64_t tokens) {
  std::vector<std::int64_t> cells(static_cast<std::size_t>(pixels));
  const double perCell = std::ldexp(1.0, -level);
  const std::int64_t last = (tokens - 1) >> level;
  for (int i = 0; i < pixels; ++i) {
    const double token = low + (i + 0.5) * tokensPerPixel;
    cells[static_cast<std::size_t>(i)] =
        std::clamp<std::int64_t>(static_cast<std::int64_t>(std::floor(token * perCell)), 0, last);
  }
  return cells;
}

std::vector<Band> bandsOf(const std::vector<std::int64_t>& cells) {
  std::vector<Band> bands;
  for (int i = 0; i < static_cast<int>(cells.size()); ++i) {
    const std::int64_t tile = cells[static_cast<std::size_t>(i)] / kTileSize;
    if (bands.empty() || bands.back().tile != tile) {
      bands.push_back({tile, i, i + 1});
    } else {
      bands.back().end = i + 1;
    }
  }
  return bands;
}

std::vector<std::int64_t> columnsOf(const MapFrame& frame, int level) {
  return cellsAlong(frame.viewport.keyLow + 0.5, frame.tokensPerPixel(), frame.rect.width(), level, frame.tokens);
}

std::vector<std::int64_t> rowsOf(const MapFrame& frame, int level) {
  const double tokensPerPixel = (frame.viewport.queryHigh - frame.viewport.queryLow) / frame.rect.height();
  return cellsAlong(frame.viewport.queryLow + 0.5, tokensPerPixel, frame.rect.height(), level, frame.tokens);
}

class Composer {
 public:
  Composer(QImage& image, const MapFrame& frame, int level, const FrameGround& ground)
      : bits_(reinterpret_cast<QRgb*>(image.bits())),
        stride_(image.bytesPerLine() / static_cast<qsizetype>(sizeof(QRgb))),
        ground_(ground),
        level_(level),
        tokens_(frame.tokens),
        columns_(columnsOf(frame, level)),
        rows_(rowsOf(frame, level)) {}

  const std::vector<std::int64_t>& columns() const { return columns_; }
  const std::vector<std::int64_t>& rows() const { return rows_; }

  void tile(const Band& across, const Band& down, const TilePixels& tile) {
    const auto width = static_cast<std::size_t>(across.end - across.begin);
    index_.resize(width);
    for (std::size_t i = 0; i < width; ++i) {
      index_[i] =
          static_cast<int>((columns_[static_cast<std::size_t>(across.begin) + i] >> tile.coarser) & (kTileSize - 1));
    }
    std::int64_t previous = -1;
    for (int y = down.begin; y < down.end; ++y) {
      const std::int64_t cell = rows_[static_cast<std::size_t>(y)] >> tile.coarser;
      QRgb* target = line(y) + across.begin;
      if (cell == previous) {
        std::memcpy(target, target - stride_, width * sizeof(QRgb));
        continue;
      }
      previous = cell;
      const QRgb* source = tile.pixels + (cell & (kTileSize - 1)) * kTileSize;
      for (std::size_t i = 0; i < width; ++i) {
        target[i] = source[index_[i]];
      }
    }
  }

  void blank(const Band& across, const Band& down, bool awaited) {
    if (awaited && ground_.thumbnail != nullptr) {
      thumbnail(across, down);
      return;
    }
    for (int y = down.begin; y < down.end; ++y) {
      const std::int64_t cell = rows_[static_cast<std::size_t>(y)];
      QRgb* target = line(y);
      for (int x = across.begin; x < across.end; ++x) {
        target[x] = columns_[static_cast<std::size_t>(x)] > cell ? ground_.noValue : ground_.pending;
      }
    }
  }

 private:
  QRgb* line(int y) const { return bits_ + y * stride_; }

  void thumbnail(const Band& across, const Band& down) {
    const auto part = [this](std::int64_t cell) {
      return std::min(cell << level_, tokens_ - 1) * ground_.size / tokens_;
    };
    for (int y = down.begin; y < down.end; ++y) {
      const QRgb* source = ground_.thumbnail + part(rows_[static_cast<std::size_t>(y)]) * ground_.size;
      QRgb* target = line(y);
      for (int x = across.begin; x < across.end; ++x) {
        target[x] = source[part(columns_[static_cast<std::size_t>(x)])];
      }
    }
  }

  QRgb* bits_;
  qsizetype stride_;
  FrameGround ground_;
  int level_;
  std::int64_t tokens_;
  std::vector<std::int64_t> columns_, rows_;
  std::vector<int> index_;
};

}  // namespace

std::vector<std::pair<std::int64_t, std::int64_t>> tilesInFrame(const MapFrame& frame, int level) {
  const std::vector<Band> across = bandsOf(columnsOf(frame, level)), down = bandsOf(rowsOf(frame, level));
  std::vector<std::pair<std::int64_t, std::int64_t>> tiles;
  for (const Band& row : down) {
    for (const Band& column : across) {
      tiles.emplace_back(column.tile, row.tile);
    }
  }
  return tiles;
}

void composeFrame(QImage& image, const MapFrame& frame, int level,
                  const std::function<TilePixels(std::int64_t x, std::int64_t y)>& tileAt, const FrameGround& ground) {
  Composer composer(image, frame, level, ground);
  const std::vector<Band> across = bandsOf(composer.columns());
  const std::vector<Band> down = bandsOf(composer.rows());
  for (const Band& row : down) {
    for (const Band& column : across) {
      const TilePixels tile = tileAt(column.tile, row.tile);
      if (tile.pixels) {
        composer.tile(column, row, tile);
      } else {
        composer.blank(column, row, tile.awaited);
      }
    }
  }
}

}  // namespace headscope::ui
