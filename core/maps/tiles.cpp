#include "core/maps/tiles.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/maps/pooling.h"

namespace headscope {
namespace {

constexpr float kNoValue = std::numeric_limits<float>::quiet_NaN();
constexpr std::size_t kCells = std::size_t{kTileSize} * kTileSize;

std::shared_ptr<Tile> emptyTile(const TileKey& key) {
  auto tile = std::make_shared<Tile>();
  tile->key = key;
  for (std::vector<float>* values : {&tile->max, &tile->mean, &tile->mass, &tile->logit}) {
    values->assign(kCells, kNoValue);
  }
  return tile;
}

// Sixteen running values, so that the compiler makes vectors of them; comparisons with NaN are false.
void findExtremes(Tile& tile) {
  constexpr std::size_t kRunning = 16;
  std::array<float, kRunning> low, high;
  low.fill(std::numeric_limits<float>::infinity());
  high.fill(-std::numeric_limits<float>::infinity());
  for (std::size_t at = 0; at < kCells; at += kRunning) {
    for (std::size_t i = 0; i < kRunning; ++i) {
      const float value = tile.max[at + i];
      low[i] = value < low[i] ? value : low[i];
      high[i] = value > high[i] ? value : high[i];
    }
  }
  const float lowest = *std::min_element(low.begin(), low.end());
  const float highest = *std::max_element(high.begin(), high.end());
  tile.lowest = lowest <= highest ? lowest : 0.0f;
  tile.highest = lowest <= highest ? highest : 0.0f;
}

// Cell rows and columns of a level in [begin, end) that exist at all.
std::int64_t cellsIn(std::int64_t begin, std::int64_t end, int level) {
  return end > begin ? ((end - begin - 1) >> level) + 1 : 0;
}

// Rows and keys of cell (y, x) of a tile.
MapRange cellRange(const MapRange& tile, int level, std::int64_t y, std::int64_t x) {
  const std::int64_t side = std::int64_t{1} << level;
  const std::int64_t row = tile.rowBegin + y * side;
  const std::int64_t col = tile.colBegin + x * side;
  return {row, std::min(row + side, tile.rowEnd), col, std::min(col + side, tile.colEnd)};
}

// The cell at (y, x) of the parent's child that holds it, and the three beside and below it.
struct Quarter {
  const Tile* child = nullptr;
  std::size_t cell = 0;  ///< top left
};

Quarter quarterOf(const std::array<std::shared_ptr<const Tile>, 4>& children, std::int64_t y, std::int64_t x) {
  constexpr std::int64_t kHalf = kTileSize / 2;
  const auto child = static_cast<std::size_t>((y / kHalf) * 2 + x / kHalf);
  return {children[child].get(), static_cast<std::size_t>((y % kHalf) * 2 * kTileSize + (x % kHalf) * 2)};
}

float largestOf(const std::vector<float>& values, std::size_t cell) {
  float largest = kNoValue;
  for (const std::size_t at : {cell, cell + 1, cell + kTileSize, cell + kTileSize + 1}) {
    largest = values[at] > largest || std::isnan(largest) ? values[at] : largest;
  }
  return largest;
}

float valueOrZero(float value) {
  return std::isnan(value) ? 0.0f : value;
}

}  // namespace

MapRange tileRange(const TileKey& key, std::int64_t tokens) noexcept {
  const std::int64_t side = std::int64_t{kTileSize} << key.level;
  const auto clip = [tokens](std::int64_t at) { return std::clamp<std::int64_t>(at, 0, tokens); };
  return {clip(key.y * side), clip((key.y + 1) * side), clip(key.x * side), clip((key.x + 1) * side)};
}

bool tileHasValues(const TileKey& key, std::int64_t tokens, std::optional<std::int64_t> window) noexcept {
  if (key.x < 0 || key.y < 0 || key.x > key.y) {
    return false;
  }
  const MapRange range = tileRange(key, tokens);
  return visiblePairs(window, range.rowBegin, range.rowEnd, range.colBegin, range.colEnd) > 0;
}

std::array<TileKey, 4> childKeys(const TileKey& key) noexcept {
  std::array<TileKey, 4> keys;
  for (int i = 0; i < 4; ++i) {
    keys[static_cast<std::size_t>(i)] = {key.view, key.level - 1, 2 * key.x + i % 2, 2 * key.y + i / 2};
  }
  return keys;
}

TileKey parentKey(const TileKey& key) noexcept {
  return {key.view, key.level + 1, key.x >> 1, key.y >> 1};
}

int tileLevels(std::int64_t tokens) noexcept {
  int levels = 1;
  while ((std::int64_t{kTileSize} << (levels - 1)) < tokens) {
    ++levels;
  }
  return levels;
}

int baseLevel(std::int64_t tokens) noexcept {
  return std::max(0, tileLevels(tokens) - 3);
}

double tileWork(const TileKey& key, std::int64_t tokens, std::optional<std::int64_t> window, int dim) noexcept {
  const MapRange range = tileRange(key, tokens);
  return static_cast<double>(visiblePairs(window, range.rowBegin, range.rowEnd, range.colBegin, range.colEnd)) * dim;
}

std::shared_ptr<const Tile> computeTile(const HeadView& head, const TileKey& key, const JobControl& control) {
  // The builder doesn't outlive this call, so it needs no share in the head.
  TileBuilder builder(std::shared_ptr<const HeadView>(std::shared_ptr<void>(), &head), key);
  builder.step(std::numeric_limits<double>::infinity(), control);
  return builder.take();
}

std::shared_ptr<const Tile> previewTile(const HeadView& head, const TileKey& key, int rowsPerCell,
                                        const JobControl& control) {
  TileBuilder builder(std::shared_ptr<const HeadView>(std::shared_ptr<void>(), &head), key, std::max(rowsPerCell, 1));
  builder.step(std::numeric_limits<double>::infinity(), control);
  return builder.take();
}

std::shared_ptr<const Tile> deriveTile(const TileKey& key, std::int64_t tokens, std::optional<std::int64_t> window,
                                       const std::array<std::shared_ptr<const Tile>, 4>& children) {
  const std::shared_ptr<Tile> tile = emptyTile(key);
  const MapRange range = tileRange(key, tokens);
  const std::int64_t half = std::int64_t{1} << (key.level - 1);
  const std::int64_t height = cellsIn(range.rowBegin, range.rowEnd, key.level);
  const std::int64_t width = cellsIn(range.colBegin, range.colEnd, key.level);
  for (std::int64_t y = 0; y < height; ++y) {
    for (std::int64_t x = 0; x < width; ++x) {
      const auto [child, cell] = quarterOf(children, y, x);
      if (child == nullptr) {
        continue;
      }
      const std::size_t at = static_cast<std::size_t>(y * kTileSize + x);
      tile->max[at] = largestOf(child->max, cell);
      tile->logit[at] = largestOf(child->logit, cell);
      const MapRange pairs = cellRange(range, key.level, y, x);
      const std::int64_t visible = visiblePairs(window, pairs.rowBegin, pairs.rowEnd, pairs.colBegin, pairs.colEnd);
      if (visible > 0) {
        const auto upper = static_cast<float>(std::min(half, pairs.rows()));
        const auto lower = static_cast<float>(pairs.rows()) - upper;
        const float above = valueOrZero(child->mass[cell]) + valueOrZero(child->mass[cell + 1]);
        const float below = valueOrZero(child->mass[cell + kTileSize]) + valueOrZero(child->mass[cell + kTileSize + 1]);
        const float sum = above * upper + below * lower;
        tile->mass[at] = sum / static_cast<float>(pairs.rows());
        tile->mean[at] = sum / static_cast<float>(visible);
      }
    }
  }
  findExtremes(*tile);
  return tile;
}

std::shared_ptr<const Tile> finishTile(const TileKey& key, const CellGrid& grid, const CellValues& values,
                                       std::optional<std::int64_t> window) {
  const std::shared_ptr<Tile> tile = emptyTile(key);
  finishCells(grid, values, window, 0, kNoValue,
              {tile->max.data(), tile->mean.data(), tile->mass.data(), tile->logit.data(), kTileSize});
  findExtremes(*tile);
  return tile;
}

TileBuilder::TileBuilder(std::shared_ptr<const HeadView> head, const TileKey& key, int rowsPerCell)
    : head_(std::move(head)), key_(key), rowsPerCell_(rowsPerCell), range_(tileRange(key, head_->tokens)) {
  tile_ = emptyTile(key);
  if (rowsPerCell >= (std::int64_t{1} << key.level)) {
    rowsPerCell_ = 0;
  }
  tile_->exact = rowsPerCell_ == 0;
}

TileBuilder::~TileBuilder() = default;

std::shared_ptr<const Tile> TileBuilder::take() {
  findExtremes(*tile_);
  return std::move(tile_);
}

bool TileBuilder::step(double work, const JobControl& control) {
  control.checkpoint();
  const std::int64_t height = cellsIn(range_.rowBegin, range_.rowEnd, key_.level);
  if (height == 0 || range_.cols() == 0) {
    return true;
  }
  if (key_.level == 0) {
    computePairs();
    return true;
  }
  const double all = tileWork(key_, head_->tokens, head_->window, head_->dim) *
                     (rowsPerCell_ > 0 ? static_cast<double>(rowsPerCell_) / std::exp2(key_.level) : 1.0);
  const double share = std::min(1.0, work / std::max(all, 1.0));
  const std::int64_t count = std::max<std::int64_t>(1, std::llround(share * static_cast<double>(height)));
  const std::int64_t begin = nextCellRow_;
  const std::int64_t end = std::min(begin + count, height);
  const std::int64_t side = std::int64_t{1} << key_.level;
  MapRange rows = range_;
  rows.rowBegin = range_.rowBegin + begin * side;
  rows.rowEnd = std::min(range_.rowBegin + end * side, range_.rowEnd);
  const CellGrid grid = squareGrid(rows, side);
  PoolOptions options;
  options.logit = true;
  options.rowsPerCell = rowsPerCell_;
  const CellValues values = poolCells(*head_, grid, options, control);
  const std::int64_t to = begin * kTileSize;
  finishCells(
      grid, values, head_->window, rowsPerCell_, kNoValue,
      {tile_->max.data() + to, tile_->mean.data() + to, tile_->mass.data() + to, tile_->logit.data() + to, kTileSize});
  nextCellRow_ = end;
  return end == height;
}

// Level 0: a cell is a pair, and all poolings are its probability.
void TileBuilder::computePairs() {
  std::vector<QueryRow> rows;
  for (std::int64_t t = range_.rowBegin; t < range_.rowEnd; ++t) {
    rows.push_back({t, head_->q.data() + t * head_->dim, head_->normalizer(t)});
  }
  Sweep sweep(head_->rule(), head_->k.data());
  sweep.load(rows, true);
  const auto lanes = static_cast<std::size_t>(sweep.lanes());
  std::vector<float> line(static_cast<std::size_t>(sweep.kernels().block));
  sweep.run(range_.colBegin, range_.colEnd, [&](std::size_t panel, std::int64_t key, int count, const float* y) {
    for (std::size_t lane = 0; lane < std::min(lanes, rows.size() - panel * lanes); ++lane) {
      const QueryRow& row = rows[panel * lanes + lane];
      const std::int64_t from = std::max(key, firstVisibleKey(head_->window, row.token));
      const std::int64_t to = std::min(key + count, row.token + 1);
      if (from >= to) {
        continue;
      }
      const auto at = static_cast<std::size_t>((row.token - range_.rowBegin) * kTileSize + from - range_.colBegin);
      const auto visible = static_cast<std::size_t>(to - from);
      const float* column = y + static_cast<std::size_t>(from - key) * lanes + lane;
      for (std::size_t i = 0; i < visible; ++i) {
        line[i] = column[i * lanes];
        tile_->logit[at + i] = toBaseE(line[i]) + row.normalizer;
      }
      sweep.kernels().powers(line.data(), visible);
      std::copy_n(line.data(), visible, tile_->max.data() + at);
      std::copy_n(line.data(), visible, tile_->mean.data() + at);
      std::copy_n(line.data(), visible, tile_->mass.data() + at);
    }
  });
}

}  // namespace headscope
