#include <QtTest>

#include <cmath>
#include <fstream>

#include "core/maps/attention_map.h"
#include "core/maps/tile_plan.h"
#include "core/maps/tile_service.h"
#include "tests/support/large_capture.h"

using namespace headscope;
using namespace headscope::test;

namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kInstrumented = true;
#else
constexpr bool kInstrumented = false;
#endif
constexpr int kBits = kInstrumented ? 13 : 17;  // 131,072 tokens; an instrumented build needs too long for that
constexpr std::int64_t kTokens = std::int64_t{1} << kBits;
constexpr std::int64_t kOffset = 1;      ///< the diagonal: every token looks at the one before
constexpr std::int64_t kBlockSide = 48;  ///< of the planted blocks
constexpr float kSeen = 0.02f;           ///< what counts as shown; the ground is far below (see groundIsDark)

const std::int64_t kColumns[] = {0, kTokens / 3, kTokens / 2 - 1, kTokens - kTokens / 5 + 77};

struct Block {
  std::int64_t row = 0, col = 0;
};
const Block kBlocks[] = {
    {kTokens / 2 + 1000, 333}, {kTokens - 3000, kTokens / 2 + 13}, {kTokens / 8 + 5, kTokens / 16}};

bool inBlock(std::int64_t at, std::int64_t begin) {
  return at >= begin && at < begin + kBlockSide;
}

// Whether a key belongs to a column or a block: then it carries no position, and the diagonal has a gap there.
bool hasNoPosition(std::int64_t key) {
  return std::find(std::begin(kColumns), std::end(kColumns), key) != std::end(kColumns) ||
         std::any_of(std::begin(kBlocks), std::end(kBlocks),
                     [key](const Block& block) { return inBlock(key, block.col); });
}

// Queries and keys whose map has, over a dark ground: columns of one token, the previous-token diagonal, small blocks.
// Dims: one ± sign for each bit of the position (a query carries the position that it looks at), one for the columns,
// one for the blocks. Without RoPE, so that the plan is exact.
std::shared_ptr<const Capture> plantedCapture() {
  SyntheticCapture options;
  options.tokens = kTokens;
  options.dim = kBits + 3;
  options.heads = 1;
  options.rotaryDims = 0;
  options.scale = 1.0;
  const float sign = 1.6f;  // a matching position has kBits · sign², each wrong bit costs 2 · sign²
  const auto height = sign * sign * static_cast<float>(kBits);
  CaptureBuilder builder(syntheticHeader(options), options.tokens, syntheticOptions(options));
  const CaptureBuilder::Target target = builder.target(0);
  const auto put = [&](std::byte* side, std::int64_t token, int d, float value) {
    storeFloat(side, FloatType::F32, static_cast<std::size_t>(token * options.dim + d), value);
  };
  for (std::int64_t t = 0; t < kTokens; ++t) {
    for (int bit = 0; bit < kBits; ++bit) {
      put(target.q, t, bit, ((t - kOffset) >> bit & 1) != 0 ? sign : -sign);
      put(target.k, t, bit, (t >> bit & 1) != 0 ? sign : -sign);
    }
    put(target.q, t, kBits, 1.0f);
    const bool column = std::find(std::begin(kColumns), std::end(kColumns), t) != std::end(kColumns);
    if (column) {  // a column's key has no position: its logit is the same for all queries
      for (int bit = 0; bit < kBits; ++bit) {
        put(target.k, t, bit, 0.0f);
      }
    }
    put(target.k, t, kBits, column ? height - 0.5f : 0.0f);
    for (int b = 0; b < 2; ++b) {
      put(target.q, t, kBits + 1 + b, 0.0f);
      put(target.k, t, kBits + 1 + b, 0.0f);
    }
    for (std::size_t b = 0; b < std::size(kBlocks); ++b) {  // block 2 shares a dim with block 0: rows don't overlap
      const int d = kBits + 1 + static_cast<int>(b % 2);
      if (inBlock(t, kBlocks[b].row)) {
        put(target.q, t, d, b == 2 ? -6.0f : 6.0f);
      }
      if (inBlock(t, kBlocks[b].col)) {
        for (int bit = 0; bit < kBits; ++bit) {
          put(target.k, t, bit, 0.0f);
        }
        put(target.k, t, d, (b == 2 ? -1.0f : 1.0f) * (height - 1.0f) / 6.0f);
      }
    }
  }
  finishWithLse(builder, 0, options);
  builder.finish();
  return builder.capture();
}

float at(const Tile& tile, const std::vector<float>& values, std::int64_t row, std::int64_t col) {
  const std::int64_t y = (row >> tile.key.level) - tile.key.y * kTileSize;
  const std::int64_t x = (col >> tile.key.level) - tile.key.x * kTileSize;
  return values[static_cast<std::size_t>(y * kTileSize + x)];
}

std::int64_t residentBytes() {
  std::ifstream status("/proc/self/statm");
  std::int64_t total = 0, resident = 0;
  status >> total >> resident;
  return resident * 4096;
}

}  // namespace

class TstMapsLarge : public QObject {
  Q_OBJECT

 private Q_SLOTS:
  void initTestCase();
  void everyPlantedStructureShowsAtEveryLevel();
  void groundIsDark();
  void windowsEqualDenseComputation();
  void poolingKeepsWhatSamplingWouldLose();
  void memoryGrowsWithTokensOnly();

 private:
  std::shared_ptr<const Tile> tileWith(int level, std::int64_t row, std::int64_t col) {
    const std::int64_t side = std::int64_t{kTileSize} << level;
    const TileKey key{id_, level, col / side, row / side};
    auto tile = service_->find(key);
    if (tile == nullptr || !tile->exact) {
      std::shared_ptr<const Tile>& made = made_[key];
      made = made != nullptr ? made : computeTile(*view_, key);
      tile = made;
    }
    return tile;
  }

  std::shared_ptr<const Capture> capture_;
  std::unique_ptr<TileService> service_;
  std::uint64_t id_ = 0;
  std::shared_ptr<const HeadView> view_;
  std::map<TileKey, std::shared_ptr<const Tile>> made_;  ///< below the levels that the service was asked for
};

void TstMapsLarge::initTestCase() {
  capture_ = plantedCapture();
  view_ = makeHeadView(*capture_, 0, 0);
  id_ = viewId({capture_, 0, 0});
  TileService::Options options;
  options.prefetch = false;
  service_ = std::make_unique<TileService>(options, TileService::Callbacks{});
  const auto tokens = static_cast<double>(kTokens);
  for (int level = tileLevels(kTokens) - 1; level >= baseLevel(kTokens); --level) {  // as zooming in does
    service_->setView(0, {{capture_, 0, 0}, level, 0, tokens, 0, tokens});
    service_->waitIdle();
  }
}

void TstMapsLarge::everyPlantedStructureShowsAtEveryLevel() {
  for (int level = 0; level < tileLevels(kTokens); ++level) {
    // At coarse levels every cell row is looked at, at fine ones rows over the whole map.
    const std::int64_t step = level >= baseLevel(kTokens) ? std::max(std::int64_t{1} << level, kTokens / 256)
                                                          : kTokens / (level > 4 ? 4 : 16);
    for (std::int64_t row = step - 1; row < kTokens; row += step) {
      const auto diagonal = tileWith(level, row, row - kOffset);
      QVERIFY2(hasNoPosition(row - kOffset) || at(*diagonal, diagonal->max, row, row - kOffset) > kSeen,
               qPrintable(QString("level %1: diagonal lost at row %2").arg(level).arg(row)));
      for (const std::int64_t column : kColumns) {
        if (column <= row) {
          const auto tile = tileWith(level, row, column);
          QVERIFY2(at(*tile, tile->max, row, column) > kSeen,
                   qPrintable(QString("level %1: column %2 lost at row %3").arg(level).arg(column).arg(row)));
          QVERIFY(at(*tile, tile->mass, row, column) > kSeen);
        }
      }
    }
    for (const Block& block : kBlocks) {
      for (const std::int64_t shift : {std::int64_t{0}, kBlockSide / 2, kBlockSide - 1}) {
        const auto tile = tileWith(level, block.row + shift, block.col + shift);
        QVERIFY2(at(*tile, tile->max, block.row + shift, block.col + shift) > kSeen / 4,
                 qPrintable(QString("level %1: block at %2, %3 lost").arg(level).arg(block.row).arg(block.col)));
      }
    }
  }
}

// What is shown would prove nothing if everything were bright.
void TstMapsLarge::groundIsDark() {
  for (const int level : {0, baseLevel(kTokens)}) {
    const std::int64_t row = kTokens - kTokens / 3;
    const auto tile = tileWith(level, row, kTokens / 4 + (std::int64_t{kTileSize} << level) / 4);
    const float ground = at(*tile, tile->max, row, kTokens / 4 + (std::int64_t{kTileSize} << level) / 4);
    QVERIFY2(ground < kSeen / 4, qPrintable(QString::number(static_cast<double>(ground))));
  }
}

void TstMapsLarge::windowsEqualDenseComputation() {
  const int dim = view_->dim;
  double worst = 0;
  for (const MapRange& range : {MapRange{kTokens - 5, kTokens, kTokens - 64, kTokens},
                                MapRange{kTokens / 2 + 1000, kTokens / 2 + 1004, 320, 400},
                                MapRange{kTokens / 3, kTokens / 3 + 3, kTokens / 3 - 40, kTokens / 3 + 3}}) {
    const std::vector<float> p = probabilities(*view_, range);
    const auto dot = [&](std::int64_t t, std::int64_t i) {
      double sum = 0;
      for (int d = 0; d < dim; ++d) {
        sum += static_cast<double>(view_->q[static_cast<std::size_t>(t * dim + d)]) *
               static_cast<double>(view_->k[static_cast<std::size_t>(i * dim + d)]);
      }
      return sum;
    };
    std::size_t cell = 0;
    for (std::int64_t t = range.rowBegin; t < range.rowEnd; ++t) {
      double total = 0;
      for (std::int64_t i = 0; i <= t; ++i) {
        total += std::exp(dot(t, i));
      }
      for (std::int64_t i = range.colBegin; i < range.colEnd; ++i, ++cell) {
        const double expected = i <= t ? std::exp(dot(t, i)) / total : 0.0;
        worst = std::max(worst, std::abs(expected - static_cast<double>(p[cell])));
      }
    }
  }
  QVERIFY2(worst <= 1e-5, qPrintable(QString::number(worst)));
}

// The overview's mass adds up to 1 in each row; a subsampled one would have lost the columns.
void TstMapsLarge::poolingKeepsWhatSamplingWouldLose() {
  const int top = tileLevels(kTokens) - 1;
  const auto tile = service_->find({id_, top, 0, 0});
  QVERIFY(tile != nullptr && tile->exact);
  for (int y = 0; y < kTileSize; ++y) {
    double sum = 0;
    for (int x = 0; x <= y; ++x) {
      sum += static_cast<double>(tile->mass[static_cast<std::size_t>(y * kTileSize + x)]);
    }
    QVERIFY2(std::abs(sum - 1) <= 1e-5, qPrintable(QString::number(sum, 'g', 9)));
  }
}

void TstMapsLarge::memoryGrowsWithTokensOnly() {
  if (kInstrumented) {
    QSKIP("an instrumented build has its own memory");
  }
  SyntheticCapture options;
  options.tokens = 32768;
  options.dim = 16;
  options.heads = 1;
  const auto capture = makeLargeCapture(options);
  const std::int64_t before = residentBytes();
  const auto view = makeHeadView(*capture, 0, 0);
  const PooledMaps maps = pooledAll(*view, {0, 32768, 0, 32768}, 1024, 1024);
  const std::int64_t grown = residentBytes() - before;  // a map of float32 would be 4 GiB
  QVERIFY2(grown < (std::int64_t{64} << 20), qPrintable(QString::number(grown)));
  QCOMPARE(maps.max.size(), std::size_t{1} << 20);
}

QTEST_GUILESS_MAIN(TstMapsLarge)
#include "tst_maps_large.moc"
