#include <QtTest>

#include <atomic>
#include <cmath>
#include <mutex>
#include <set>
#include <thread>

#include "core/base/error.h"
#include "core/maps/tile_service.h"
#include "tests/support/gate.h"
#include "tests/support/large_capture.h"

using namespace headscope;
using namespace headscope::test;

namespace {

// Everything a service delivers, in order; optionally held at a gate.
class Deliveries {
 public:
  TileService::Callbacks callbacks() {
    TileService::Callbacks callbacks;
    callbacks.tileReady = [this](int pane, const std::shared_ptr<const Tile>& tile) {
      {
        const std::lock_guard lock(mutex_);
        tiles_.emplace_back(pane, tile);
      }
      if (gate) {
        gate->pass();
      }
    };
    callbacks.status = [this](int pane, const ViewStatus& status) {
      const std::lock_guard lock(mutex_);
      statuses_[pane] = status;
    };
    callbacks.failed = [this](int pane, const std::string& problem) {
      const std::lock_guard lock(mutex_);
      problems_.emplace_back(pane, problem);
    };
    callbacks.thumbnailReady = [this](const std::shared_ptr<const Thumbnail>& thumbnail) {
      const std::lock_guard lock(mutex_);
      thumbnails_.push_back(thumbnail);
    };
    return callbacks;
  }

  std::vector<std::pair<int, std::shared_ptr<const Tile>>> tiles() const { return copy(tiles_); }
  std::vector<std::pair<int, std::string>> problems() const { return copy(problems_); }
  std::vector<std::shared_ptr<const Thumbnail>> thumbnails() const { return copy(thumbnails_); }
  ViewStatus status(int pane) const { return copy(statuses_).at(pane); }

  Gate* gate = nullptr;  ///< set before the service starts

 private:
  template <typename T>
  T copy(const T& value) const {
    const std::lock_guard lock(mutex_);
    return value;
  }

  mutable std::mutex mutex_;
  std::vector<std::pair<int, std::shared_ptr<const Tile>>> tiles_;
  std::vector<std::pair<int, std::string>> problems_;
  std::vector<std::shared_ptr<const Thumbnail>> thumbnails_;
  std::map<int, ViewStatus> statuses_;
};

ViewRequest wholeMap(const std::shared_ptr<const Capture>& capture, int head, int level) {
  const auto tokens = static_cast<double>(capture->tokens());
  return {{capture, 0, head}, level, 0, tokens, 0, tokens};
}

bool sameValues(const std::vector<float>& a, const std::vector<float>& b, float tolerance) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [tolerance](float x, float y) {
    return std::isnan(x) ? std::isnan(y) : std::abs(x - y) <= tolerance;
  });
}

}  // namespace

class TstTileService : public QObject {
  Q_OBJECT

 private Q_SLOTS:
  void initTestCase();
  void everyVisibleTileBecomesExact();
  void previewsComeBeforeExactTiles();
  void tilesComeFromTheCentre();
  void coarseLevelsAreDerivedFromOnePass();
  void bestIsTheFinestAncestor();
  void onlyTilesThatLeftTheViewAreDropped();
  void aCacheTooSmallStillFinishes();
  void interventionsGetTheirOwnMaps();
  void impossibleViewsAreReported();
  void exportsGetExactTilesAtOnce();
  void prefetchFillsTheRing();
  void thumbnailsAreSampledThenExact();
  void thumbnailsFollowAGrowingCapture();
  void stopsInTheMiddleOfWork();
  void viewsFromManyThreads();
  void levelsFollowTheZoom();

 private:
  std::shared_ptr<const Capture> small_;  ///< 1500 tokens
  std::shared_ptr<const Capture> large_;  ///< long enough for previews
};

void TstTileService::initTestCase() {
  SyntheticCapture options;
  options.tokens = 1500;
  small_ = makeLargeCapture(options);
  options.tokens = 9000;
  options.dim = 16;
  options.heads = 1;
  large_ = makeLargeCapture(options);
}

void TstTileService::everyVisibleTileBecomesExact() {
  Deliveries deliveries;
  TileService service({}, deliveries.callbacks());
  service.setView(3, wholeMap(small_, 1, 0));
  service.waitIdle();
  const auto view = makeHeadView(*small_, 0, 1);
  const std::uint64_t id = viewId({small_, 0, 1});
  std::set<TileKey> seen;
  for (const auto& [pane, tile] : deliveries.tiles()) {
    QCOMPARE(pane, 3);
    QVERIFY(tile->exact && tile->key.view == id);
    QVERIFY(seen.insert(tile->key).second);
    const auto expected = computeTile(*view, tile->key);
    QVERIFY(sameValues(tile->max, expected->max, 1e-6f) && sameValues(tile->mass, expected->mass, 1e-6f));
  }
  QCOMPARE(seen.size(), std::size_t{21});  // 6 · 7 / 2 tiles
  const ViewStatus status = deliveries.status(3);
  QCOMPARE(status.wanted, 21);
  QCOMPARE(status.exact, 21);
  QCOMPARE(status.preview, 0);
  QVERIFY(service.headView(id) != nullptr && service.headView(id)->tokens == 1500);
  QVERIFY(service.headView(id + 100) == nullptr);
  QVERIFY(service.find({id, 0, 1, 5})->exact);
  QVERIFY(service.find({id, 0, 5, 1}) == nullptr);
}

void TstTileService::previewsComeBeforeExactTiles() {
  Deliveries deliveries;
  TileService service({}, deliveries.callbacks());
  const int level = tileLevels(9000) - 1;
  service.setView(0, wholeMap(large_, 0, level));
  service.waitIdle();
  const auto tiles = deliveries.tiles();
  QCOMPARE(tiles.size(), std::size_t{2});
  QVERIFY(!tiles[0].second->exact && tiles[1].second->exact);
  QVERIFY(tiles[0].second->key == tiles[1].second->key);
  for (std::size_t i = 0; i < tiles[0].second->max.size(); ++i) {
    const float sampled = tiles[0].second->max[i];
    QVERIFY(std::isnan(sampled) || sampled <= tiles[1].second->max[i] * 1.0001f);
  }
}

void TstTileService::tilesComeFromTheCentre() {
  Deliveries deliveries;
  TileService service({}, deliveries.callbacks());
  service.setView(0, {{small_, 0, 0}, 0, 700, 1500, 100, 900});
  service.waitIdle();
  const auto tiles = deliveries.tiles();
  QVERIFY(tiles.size() >= 12);
  double last = 0;
  for (const auto& [pane, tile] : tiles) {  // centres of tiles, in tokens, from the centre of the view
    const double distance = std::hypot(static_cast<double>(tile->key.y) * 256 + 128 - 1100,
                                       static_cast<double>(tile->key.x) * 256 + 128 - 500);
    QVERIFY(distance >= last - 1e-9);
    last = distance;
  }
}

void TstTileService::coarseLevelsAreDerivedFromOnePass() {
  Deliveries deliveries;
  TileService::Options options;
  options.prefetch = false;
  TileService service(options, deliveries.callbacks());
  const int top = tileLevels(9000) - 1;
  service.setView(0, wholeMap(large_, 0, top));
  service.waitIdle();
  const std::uint64_t id = viewId({large_, 0, 0});
  const int base = baseLevel(9000);
  QVERIFY(base < top);
  const auto view = makeHeadView(*large_, 0, 0);
  for (const TileKey& key : {TileKey{id, top, 0, 0}, TileKey{id, top - 1, 0, 1}, TileKey{id, base, 1, 2}}) {
    const auto tile = service.find(key);
    QVERIFY(tile != nullptr && tile->exact);
    const auto expected = computeTile(*view, key);
    QVERIFY(sameValues(tile->max, expected->max, 1e-6f) && sameValues(tile->mass, expected->mass, 1e-5f) &&
            sameValues(tile->mean, expected->mean, 1e-6f));
  }
  const std::size_t before = deliveries.tiles().size();
  service.setView(0, wholeMap(large_, 0, base));  // all there already
  service.waitIdle();
  QCOMPARE(deliveries.tiles().size(), before);
  QCOMPARE(deliveries.status(0).exact, deliveries.status(0).wanted);
}

void TstTileService::bestIsTheFinestAncestor() {
  Deliveries deliveries;
  TileService::Options options;
  options.prefetch = false;
  TileService service(options, deliveries.callbacks());
  service.setView(0, wholeMap(small_, 0, 1));
  service.waitIdle();
  const std::uint64_t id = viewId({small_, 0, 0});
  TilePart part = service.best({id, 1, 0, 1});
  QVERIFY(part.tile != nullptr && part.cells == 256 && part.cellX == 0 && part.cellY == 0);
  part = service.best({id, 0, 2, 5});  // the lower left quarter of tile (1, 2) of level 1
  QVERIFY(part.tile != nullptr && part.tile->key == (TileKey{id, 1, 1, 2}));
  QCOMPARE(part.cells, 128);
  QCOMPARE(part.cellX, 0);
  QCOMPARE(part.cellY, 128);
  QVERIFY(service.best({id + 1000, 0, 0, 0}).tile == nullptr);
}

void TstTileService::onlyTilesThatLeftTheViewAreDropped() {
  Gate gate;
  Deliveries deliveries;
  deliveries.gate = &gate;
  TileService::Options options;
  options.prefetch = false;
  TileService service(options, deliveries.callbacks());
  service.setView(0, {{large_, 0, 0}, 3, 0, 9000, 0, 9000});
  gate.waitForArrival();  // the first tile is out, the others are under way
  service.setView(0, {{large_, 0, 0}, 3, 4500, 9000, 0, 2048});
  gate.open();
  service.waitIdle();
  const auto tiles = deliveries.tiles();
  std::set<TileKey> exact;
  for (std::size_t i = 1; i < tiles.size(); ++i) {
    const TileKey& key = tiles[i].second->key;
    QVERIFY2(key.y >= 2 && key.x <= 0, "a tile that had left the view was computed");
    if (tiles[i].second->exact) {
      QVERIFY(exact.insert(key).second);
    }
  }
  QCOMPARE(deliveries.status(0).exact, deliveries.status(0).wanted);
  QCOMPARE(deliveries.status(0).wanted, 3);
}

void TstTileService::aCacheTooSmallStillFinishes() {
  Deliveries deliveries;
  TileService::Options options;
  options.tileBytes = 1;
  options.headBytes = 1;
  TileService service(options, deliveries.callbacks());
  service.setView(0, wholeMap(small_, 0, 0));
  service.setView(1, wholeMap(large_, 0, tileLevels(9000) - 1));
  service.waitIdle();
  QCOMPARE(deliveries.status(0).exact, 21);
  QCOMPARE(deliveries.status(1).exact, 1);
  QVERIFY(service.find({viewId({small_, 0, 0}), 0, 2, 3})->exact);  // in view: held beside the cache
  service.clearView(0);
  service.waitIdle();
  QVERIFY(service.find({viewId({small_, 0, 0}), 0, 2, 3}) == nullptr);
}

void TstTileService::interventionsGetTheirOwnMaps() {
  Deliveries deliveries;
  TileService service({}, deliveries.callbacks());
  HeadSource changed{large_, 0, 0};
  changed.interventions.ropeBase = 200.0;
  changed.interventions.dropChannels = {2};
  const int level = tileLevels(9000) - 1;
  ViewRequest request = wholeMap(large_, 0, level);
  service.setView(0, request);
  request.source = changed;
  service.setView(1, request);
  service.waitIdle();
  QVERIFY(viewId(changed) != viewId({large_, 0, 0}));
  const TileKey key{viewId(changed), level, 0, 0};
  const auto tile = service.find(key);
  QVERIFY(tile != nullptr && tile->exact);
  const auto view = makeHeadView(*large_, 0, 0, changed.interventions);
  QVERIFY(sameValues(tile->mass, computeTile(*view, key)->mass, 1e-5f));
  QVERIFY(!sameValues(tile->mass, service.find({viewId({large_, 0, 0}), level, 0, 0})->mass, 1e-3f));
  bool preview = false;
  for (const auto& [pane, delivered] : deliveries.tiles()) {
    preview = preview || (pane == 1 && !delivered->exact);
  }
  QVERIFY(preview);  // before the log-sum-exp of all rows was known
}

void TstTileService::impossibleViewsAreReported() {
  Deliveries deliveries;
  TileService service({}, deliveries.callbacks());
  service.setView(0, wholeMap(small_, 7, 0));
  HeadSource source{small_, 0, 0};
  source.interventions.dropChannels = {99};
  service.setView(1, {source, 0, 0, 100, 0, 100});
  service.setView(2, {{nullptr, 0, 0}, 0, 0, 100, 0, 100});
  service.setView(3, {{small_, 5, 0}, 0, 0, 100, 0, 100});
  service.setView(4, {{small_, 0, 0}, 0, NAN, 100, 0, 100});  // no view, but no error either
  service.setView(5, {{small_, 0, 0}, 0, 5000, 9000, -50, -10});
  service.waitIdle();
  std::set<int> failed;
  for (const auto& [pane, problem] : deliveries.problems()) {
    failed.insert(pane);
    QVERIFY(!problem.empty());
  }
  QCOMPARE(failed, (std::set<int>{0, 1, 2, 3}));
  QVERIFY(deliveries.tiles().empty());
  service.setView(0, wholeMap(small_, 0, 2));  // and it goes on working
  service.waitIdle();
  QVERIFY(!deliveries.tiles().empty());
}

void TstTileService::exportsGetExactTilesAtOnce() {
  Deliveries deliveries;
  TileService service({}, deliveries.callbacks());
  const HeadSource source{small_, 0, 1};
  service.setView(0, wholeMap(small_, 1, 0));  // the service works on the same tiles meanwhile
  const auto view = makeHeadView(*small_, 0, 1);
  for (std::int64_t y = 0; y < 6; ++y) {
    const TileKey key{viewId(source), 0, y / 2, y};
    const auto tile = service.exactTile(source, key);
    QVERIFY(tile->exact && tile->key == key);
    QVERIFY(sameValues(tile->mass, computeTile(*view, key)->mass, 1e-6f));
    QVERIFY(service.exactTile(source, key) == tile || service.find(key)->exact);
  }
  std::stop_source stop;
  stop.request_stop();
  JobControl control;
  control.stop = stop.get_token();
  QVERIFY_EXCEPTION_THROWN(service.exactTile(source, {viewId(source), 1, 0, 0}, control), Cancelled);
}

void TstTileService::prefetchFillsTheRing() {
  Deliveries deliveries;
  TileService service({}, deliveries.callbacks());
  service.setView(0, {{large_, 0, 0}, 0, 4096, 4352, 2048, 2304});
  service.waitIdle();
  const std::uint64_t id = viewId({large_, 0, 0});
  for (std::int64_t y = 15; y <= 17; ++y) {
    for (std::int64_t x = 7; x <= 9; ++x) {
      QVERIFY(service.find({id, 0, x, y}) != nullptr);
    }
  }
  QVERIFY(service.find({id, 1, 4, 8}) != nullptr);
  QCOMPARE(deliveries.tiles().size(), std::size_t{1});  // only what is in view is announced
}

void TstTileService::thumbnailsAreSampledThenExact() {
  SyntheticCapture options;
  options.tokens = 500;
  options.layers = 2;
  options.heads = 4;
  options.kvHeads = 2;
  options.sinks = true;
  options.window = 300;
  const auto capture = makeLargeCapture(options);
  Deliveries deliveries;
  TileService service({}, deliveries.callbacks());
  ThumbnailRequest request{capture, 32, {}, true};
  for (int layer = 1; layer >= 0; --layer) {
    for (int head = 0; head < 4; ++head) {
      request.heads.push_back({layer, head});
    }
  }
  service.setThumbnails(request);
  service.waitIdle();
  const auto thumbnails = deliveries.thumbnails();
  QCOMPARE(thumbnails.size(), std::size_t{16});
  for (std::size_t i = 0; i < 16; ++i) {
    const Thumbnail& thumbnail = *thumbnails[i];
    QCOMPARE(thumbnail.exact, i >= 8);
    QCOMPARE(thumbnail.layer, request.heads[i % 8].layer);
    QCOMPARE(thumbnail.head, request.heads[i % 8].head);
    const PooledMaps expected =
        pooledAll(*makeHeadView(*capture, thumbnail.layer, thumbnail.head), {0, 500, 0, 500}, 32, 32);
    for (std::size_t cell = 0; cell < thumbnail.max.size(); ++cell) {
      if (std::isnan(thumbnail.max[cell])) {
        QVERIFY(!thumbnail.exact || expected.max[cell] == 0.0f);
      } else if (thumbnail.exact) {
        QVERIFY(std::abs(thumbnail.max[cell] - expected.max[cell]) <= 1e-6f);
        QVERIFY(std::abs(thumbnail.mass[cell] - expected.mass[cell]) <= 1e-6f);
      } else {
        QVERIFY(thumbnail.max[cell] <= expected.max[cell] * 1.00001f);
      }
    }
  }
  QVERIFY(service.thumbnail(capture->id(), 1, 3)->exact);
  QVERIFY(service.thumbnail(capture->id(), 2, 0) == nullptr);
  service.setThumbnails(request);  // nothing is made twice
  service.waitIdle();
  QCOMPARE(deliveries.thumbnails().size(), std::size_t{16});
}

void TstTileService::thumbnailsFollowAGrowingCapture() {
  SyntheticCapture options;
  options.tokens = 200;
  options.layers = 2;
  CaptureBuilder builder(syntheticHeader(options), options.tokens, syntheticOptions(options));
  Deliveries deliveries;
  TileService service({}, deliveries.callbacks());
  ThumbnailRequest request{builder.capture(), 64, {{0, 0}, {1, 1}, {9, 9}}, false};
  service.setThumbnails(request);
  service.waitIdle();
  QVERIFY(deliveries.thumbnails().empty());
  CheapNormal random(2);
  for (int layer = 0; layer < 2; ++layer) {
    const auto target = builder.target(layer);
    for (std::int64_t i = 0; i < 200 * options.dim; ++i) {
      storeFloat(target.q, options.type, static_cast<std::size_t>(i), random());
      storeFloat(target.k, options.type, static_cast<std::size_t>(i), random());
    }
    finishWithLse(builder, layer, options);
    service.setThumbnails(request);
    service.waitIdle();
    QCOMPARE(deliveries.thumbnails().size(), static_cast<std::size_t>(layer + 1));
  }
  QVERIFY(!deliveries.thumbnails()[1]->exact);
}

void TstTileService::stopsInTheMiddleOfWork() {
  for (int trial = 0; trial < 20; ++trial) {
    Gate gate;
    Deliveries deliveries;
    deliveries.gate = &gate;
    TileService service({}, deliveries.callbacks());
    service.setView(0, wholeMap(large_, 0, trial % 6));
    service.setThumbnails({large_, 64, {{0, 0}}, true});
    gate.waitForArrival();
    gate.open();
  }
}

void TstTileService::viewsFromManyThreads() {
  Deliveries deliveries;
  TileService::Options options;
  options.tileBytes = std::uint64_t{20} << 20;
  TileService service(options, deliveries.callbacks());
  std::vector<std::thread> threads;
  for (int pane = 0; pane < 4; ++pane) {
    threads.emplace_back([&service, this, pane] {
      for (int i = 0; i < 50; ++i) {
        const double at = (i * 37 + pane * 211) % 1200;
        service.setView(pane, {{small_, 0, pane % 2}, i % 3, at, at + 600, 0, at + 300});
        service.best({viewId({small_, 0, pane % 2}), 0, i % 5, 5});
        if (i % 9 == 8) {
          service.clearView(pane);
        }
      }
      service.setView(pane, {{small_, 0, pane % 2}, 0, 1000, 1500, 0, 500});
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  service.waitIdle();
  for (int pane = 0; pane < 4; ++pane) {
    QCOMPARE(deliveries.status(pane).exact, deliveries.status(pane).wanted);
    QVERIFY(deliveries.status(pane).wanted >= 4);
  }
  QVERIFY(deliveries.problems().empty());
}

void TstTileService::levelsFollowTheZoom() {
  QCOMPARE(levelFor(0.1, 10000), 0);
  QCOMPARE(levelFor(1.0, 10000), 0);
  QCOMPARE(levelFor(1.01, 10000), 1);
  QCOMPARE(levelFor(2.0, 10000), 1);
  QCOMPARE(levelFor(16.0, 10000), 4);
  QCOMPARE(levelFor(1e9, 10000), tileLevels(10000) - 1);
  QCOMPARE(levelFor(NAN, 10000), 0);
  QVERIFY(viewId({small_, 0, 0}) == viewId({small_, 0, 0}));
  QVERIFY(viewId({small_, 0, 0}) != viewId({small_, 0, 1}));
}

QTEST_GUILESS_MAIN(TstTileService)
#include "tst_tile_service.moc"
