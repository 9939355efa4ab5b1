#include <QtTest>

#include <atomic>
#include <cmath>
#include <thread>

#include "core/base/error.h"
#include "core/maps/kernels.h"
#include "core/base/parallel.h"
#include "core/maps/tile_store.h"
#include "core/maps/tiles.h"
#include "core/maps/visible_pairs.h"
#include "tests/support/gate.h"
#include "tests/support/synthetic_capture.h"

using namespace headscope;
using namespace headscope::test;

namespace {

constexpr std::int64_t kTokens = 600;  // three tiles a side at level 0, the last one cut

const std::vector<std::pair<std::string, SyntheticCapture>>& kinds() {
  static const auto all = capturesOfEveryKind(kTokens);
  return all;
}

bool close(float a, double b) {
  return std::abs(static_cast<double>(a) - b) <= 1e-5;
}

// A tile against the dense map, cell by cell, with the words of tiles.h.
QString differenceFromDense(const Tile& tile, const DenseHead& dense) {
  const std::int64_t side = std::int64_t{1} << tile.key.level;
  for (std::int64_t y = 0; y < kTileSize; ++y) {
    for (std::int64_t x = 0; x < kTileSize; ++x) {
      const std::int64_t rowBegin = (tile.key.y * kTileSize + y) * side;
      const std::int64_t colBegin = (tile.key.x * kTileSize + x) * side;
      const std::int64_t rowEnd = std::min(rowBegin + side, dense.tokens);
      const std::int64_t colEnd = std::min(colBegin + side, dense.tokens);
      double max = 0, sum = 0, logit = -HUGE_VAL;
      int pairs = 0;
      for (std::int64_t t = rowBegin; t < rowEnd; ++t) {
        for (std::int64_t i = colBegin; i < colEnd; ++i) {
          if (std::isfinite(dense.logit(t, i))) {
            max = std::max(max, dense.probability(t, i));
            logit = std::max(logit, dense.logit(t, i));
            sum += dense.probability(t, i);
            ++pairs;
          }
        }
      }
      const auto at = static_cast<std::size_t>(y * kTileSize + x);
      const bool equal = pairs == 0 ? std::isnan(tile.max[at]) && std::isnan(tile.mean[at]) &&
                                          std::isnan(tile.mass[at]) && std::isnan(tile.logit[at])
                                    : close(tile.max[at], max) && close(tile.mean[at], sum / pairs) &&
                                          close(tile.mass[at], sum / static_cast<double>(rowEnd - rowBegin)) &&
                                          std::abs(static_cast<double>(tile.logit[at]) - logit) <= 3e-5;
      if (!equal) {
        return QString("level %1, cell %2, %3 of tile %4, %5: %6 %7 %8 %9, expected %10 %11 %12")
            .arg(tile.key.level)
            .arg(y)
            .arg(x)
            .arg(tile.key.y)
            .arg(tile.key.x)
            .arg(static_cast<double>(tile.max[at]))
            .arg(static_cast<double>(tile.mean[at]))
            .arg(static_cast<double>(tile.mass[at]))
            .arg(static_cast<double>(tile.logit[at]))
            .arg(max)
            .arg(pairs > 0 ? sum / pairs : 0)
            .arg(logit);
      }
    }
  }
  return {};
}

template <typename Visit>
void forTiles(int level, std::int64_t tokens, std::optional<std::int64_t> window, const Visit& visit) {
  const std::int64_t side = std::int64_t{kTileSize} << level;
  for (std::int64_t y = 0; y * side < tokens; ++y) {
    for (std::int64_t x = 0; x * side < tokens; ++x) {
      const TileKey key{7, level, x, y};
      if (tileHasValues(key, tokens, window)) {
        visit(key);
      }
    }
  }
}

std::shared_ptr<const Tile> plainTile(const TileKey& key, bool exact = true) {
  auto tile = std::make_shared<Tile>();
  tile->key = key;
  tile->exact = exact;
  tile->max.assign(1000, 1.0f);
  return tile;
}

}  // namespace

class TstTiles : public QObject {
  Q_OBJECT

 private Q_SLOTS:
  void cleanup() { useKernels(""); }
  void tilesEqualTheDenseSoftmax_data();
  void tilesEqualTheDenseSoftmax();
  void derivedTilesEqualComputedOnes_data() { tilesEqualTheDenseSoftmax_data(); }
  void derivedTilesEqualComputedOnes();
  void piecesMakeTheSameTile();
  void previewsAreLabelledBounds();
  void tilesWithoutValuesAreKnown();
  void levelsCoverTheMap();
  void storeKeepsWhatWasUsedLast();
  void previewsNeverReplaceExactTiles();
  void oneTileIsComputedOnce();
  void failedComputationIsTakenOver();
  void parallelForIsSound();
};

void TstTiles::tilesEqualTheDenseSoftmax_data() {
  QTest::addColumn<int>("kind");
  QTest::addColumn<QString>("kernelSet");
  for (std::size_t i = 0; i < kinds().size(); ++i) {
    const std::vector<const Kernels*> sets = availableKernels();
    const char* set = sets[i % sets.size()]->name;  // all sets see some kinds; tst_maps has the whole product
    QTest::newRow((kinds()[i].first + ", " + set).c_str()) << static_cast<int>(i) << QString(set);
  }
}

void TstTiles::tilesEqualTheDenseSoftmax() {
  QFETCH(int, kind);
  QFETCH(QString, kernelSet);
  useKernels(kernelSet.toStdString());
  const auto capture = makeCapture(kinds()[static_cast<std::size_t>(kind)].second);
  const DenseHead dense = denseHead(*capture, 0, 1);
  const auto view = makeHeadView(*capture, 0, 1);
  for (int level = 0; level < tileLevels(kTokens); ++level) {
    forTiles(level, kTokens, view->window, [&](const TileKey& key) {
      const auto tile = computeTile(*view, key);
      QVERIFY(tile->exact && tile->key == key);
      const QString difference = differenceFromDense(*tile, dense);
      QVERIFY2(difference.isEmpty(), qPrintable(difference));
    });
  }
}

void TstTiles::derivedTilesEqualComputedOnes() {
  QFETCH(int, kind);
  const auto capture = makeCapture(kinds()[static_cast<std::size_t>(kind)].second);
  const DenseHead dense = denseHead(*capture, 0, 0);
  const auto view = makeHeadView(*capture, 0, 0);
  std::map<TileKey, std::shared_ptr<const Tile>> tiles;
  forTiles(0, kTokens, view->window, [&](const TileKey& key) { tiles[key] = computeTile(*view, key); });
  for (int level = 1; level < tileLevels(kTokens); ++level) {
    forTiles(level, kTokens, view->window, [&](const TileKey& key) {
      std::array<std::shared_ptr<const Tile>, 4> children;
      for (std::size_t i = 0; i < 4; ++i) {
        QVERIFY(parentKey(childKeys(key)[i]) == key);
        const auto child = tiles.find(childKeys(key)[i]);
        children[i] = child == tiles.end() ? nullptr : child->second;
      }
      tiles[key] = deriveTile(key, kTokens, view->window, children);
      const QString difference = differenceFromDense(*tiles[key], dense);
      QVERIFY2(difference.isEmpty(), qPrintable(difference));
      const auto computed = computeTile(*view, key);
      QVERIFY(std::abs(computed->highest - tiles[key]->highest) <= 1e-6f &&
              std::abs(computed->lowest - tiles[key]->lowest) <= 1e-6f);
    });
  }
}

void TstTiles::piecesMakeTheSameTile() {
  SyntheticCapture options;
  options.tokens = kTokens;
  const auto capture = makeCapture(options);
  const auto view = makeHeadView(*capture, 0, 0);
  const TileKey key{1, 2, 0, 0};
  const auto whole = computeTile(*view, key);
  TileBuilder builder(view, key);
  int pieces = 1;
  while (!builder.step(1e5)) {
    ++pieces;
  }
  const auto built = builder.take();
  QVERIFY(pieces > 5);
  for (std::size_t i = 0; i < whole->max.size(); ++i) {
    QVERIFY(std::isnan(whole->max[i]) ? std::isnan(built->max[i]) : whole->max[i] == built->max[i]);
    QVERIFY(std::isnan(whole->mass[i]) ? std::isnan(built->mass[i]) : whole->mass[i] == built->mass[i]);
  }
}

void TstTiles::previewsAreLabelledBounds() {
  SyntheticCapture options;
  options.tokens = kTokens;
  const auto capture = makeCapture(options);
  const auto view = makeHeadView(*capture, 0, 0);
  const TileKey key{1, 2, 0, 0};
  const auto exact = computeTile(*view, key);
  const auto preview = previewTile(*view, key, 1);
  QVERIFY(!preview->exact);
  int cells = 0;
  for (std::size_t i = 0; i < exact->max.size(); ++i) {
    QVERIFY(std::isnan(preview->max[i]) || preview->max[i] <= exact->max[i] * 1.00001f);
    cells += std::isnan(preview->max[i]) ? 0 : 1;
  }
  QVERIFY(cells > 150 * 150 / 2 - 200);
  const auto all = previewTile(*view, key, 4);
  QVERIFY(all->exact);
  QVERIFY(all->highest == exact->highest);
}

void TstTiles::tilesWithoutValuesAreKnown() {
  QVERIFY(tileHasValues({1, 0, 0, 0}, 1, {}));
  QVERIFY(!tileHasValues({1, 0, 1, 0}, 10000, {}));  // above the diagonal
  QVERIFY(!tileHasValues({1, 0, 0, 2}, 512, {}));    // below the map
  QVERIFY(!tileHasValues({1, 0, -1, 0}, 10000, {}));
  QVERIFY(tileHasValues({1, 0, 0, 9}, 10000, {}));
  QVERIFY(!tileHasValues({1, 0, 0, 9}, 10000, 256));  // out of the window
  QVERIFY(tileHasValues({1, 0, 8, 9}, 10000, 2));
  QVERIFY(!tileHasValues({1, 0, 8, 9}, 10000, 1));
}

void TstTiles::levelsCoverTheMap() {
  QCOMPARE(tileLevels(1), 1);
  QCOMPARE(tileLevels(256), 1);
  QCOMPARE(tileLevels(257), 2);
  QCOMPARE(tileLevels(131072), 10);
  QCOMPARE(baseLevel(131072), 7);
  QCOMPARE(baseLevel(1024), 0);
  QCOMPARE(baseLevel(1025), 1);
}

void TstTiles::storeKeepsWhatWasUsedLast() {
  const std::uint64_t one = sizeof(Tile) + 4000;
  TileStore store(3 * one);
  for (std::int64_t x = 0; x < 3; ++x) {
    store.insert(plainTile({1, 0, x, 0}));
  }
  QVERIFY(store.find({1, 0, 0, 0}) != nullptr);
  store.insert(plainTile({1, 0, 3, 0}));
  QVERIFY(store.has({1, 0, 0, 0}) && !store.has({1, 0, 1, 0}) && store.has({1, 0, 2, 0}) && store.has({1, 0, 3, 0}));
  QCOMPARE(store.statistics().bytes, 3 * one);
  QCOMPARE(store.statistics().evicted, std::uint64_t{1});
  store.setLimit(one);
  QCOMPARE(store.statistics().tiles, std::uint64_t{1});
  QVERIFY(store.has({1, 0, 3, 0}));
  store.setLimit(0);
  QVERIFY(store.has({1, 0, 3, 0}));  // the newest stays
  store.clear();
  QCOMPARE(store.statistics().bytes, std::uint64_t{0});
}

void TstTiles::previewsNeverReplaceExactTiles() {
  TileStore store(1 << 20);
  const TileKey key{1, 3, 2, 5};
  store.insert(plainTile(key, false));
  QVERIFY(store.find(key) && !store.findExact(key) && !store.hasExact(key) && store.has(key));
  store.insert(plainTile(key));
  QVERIFY(store.hasExact(key));
  store.insert(plainTile(key, false));
  QVERIFY(store.find(key)->exact);
  QCOMPARE(store.statistics().tiles, std::uint64_t{1});
}

void TstTiles::oneTileIsComputedOnce() {
  TileStore store(1 << 20);
  const TileKey key{1, 0, 0, 0};
  Gate computing;
  std::atomic<int> computed{0};
  std::shared_ptr<const Tile> first, second;
  std::thread one([&] {
    first = store.get(key, [&] {
      ++computed;
      computing.pass();
      return plainTile(key);
    });
  });
  computing.waitForArrival();
  std::thread two([&] {
    second = store.get(key, [&] {
      ++computed;
      return plainTile(key);
    });
  });
  computing.open();
  one.join();
  two.join();
  QCOMPARE(computed.load(), 1);
  QVERIFY(first == second);
}

void TstTiles::failedComputationIsTakenOver() {
  TileStore store(1 << 20);
  const TileKey key{1, 0, 0, 0};
  Gate computing;
  bool thrown = false;
  std::thread one([&] {
    try {
      store.get(key, [&]() -> std::shared_ptr<const Tile> {
        computing.pass();
        throw Cancelled();
      });
    } catch (const Cancelled&) {
      thrown = true;
    }
  });
  computing.waitForArrival();
  std::shared_ptr<const Tile> second;
  std::thread two([&] { second = store.get(key, [&] { return plainTile(key); }); });
  computing.open();
  one.join();
  two.join();
  QVERIFY(thrown);
  QVERIFY(second != nullptr && store.hasExact(key));
}

void TstTiles::parallelForIsSound() {
  setMapThreads(4);
  std::vector<std::atomic<int>> counts(1000);
  parallelFor(1000,
              [&](std::int64_t i) { parallelFor(3, [&](std::int64_t) { ++counts[static_cast<std::size_t>(i)]; }); });
  QVERIFY(std::all_of(counts.begin(), counts.end(), [](const std::atomic<int>& count) { return count == 3; }));
  std::atomic<int> started{0};
  QVERIFY_EXCEPTION_THROWN(parallelFor(100000,
                                       [&](std::int64_t) {
                                         ++started;
                                         throw Error("", "no");
                                       }),
                           Error);
  QVERIFY(started <= 4);
  std::vector<std::thread> callers;
  std::atomic<int> total{0};
  for (int i = 0; i < 6; ++i) {
    callers.emplace_back([&] { parallelFor(200, [&](std::int64_t) { ++total; }); });
  }
  for (std::thread& caller : callers) {
    caller.join();
  }
  QCOMPARE(total.load(), 1200);
  setMapThreads(0);
}

QTEST_GUILESS_MAIN(TstTiles)
#include "tst_tiles.moc"
