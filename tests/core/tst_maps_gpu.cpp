#include <QtTest>

#include <cmath>

#include "core/base/error.h"
#include "core/gpu/driver.h"
#include "core/maps/gpu_maps.h"
#include "core/maps/gpu_source.h"
#include "core/maps/tile_service.h"
#include "tests/support/large_capture.h"

using namespace headscope;
using namespace headscope::test;

namespace {

double worst(const std::vector<float>& a, const std::vector<float>& b) {
  double difference = a.size() == b.size() ? 0 : HUGE_VAL;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    if (std::isnan(a[i]) != std::isnan(b[i])) {
      return HUGE_VAL;
    }
    if (!std::isnan(a[i])) {
      difference = std::max(difference, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
    }
  }
  return difference;
}

}  // namespace

// What the GPU computes against the processor's results. Only the first case needs no GPU.
class TstMapsGpu : public QObject {
  Q_OBJECT

 private Q_SLOTS:
  void programCompiles_data();
  void programCompiles();
  void tilesEqualTheProcessors_data();
  void tilesEqualTheProcessors();
  void logSumExpEqualsTheProcessors();
  void otherPrecisionsAreAsGoodAsTheySay();
  void serviceUsesIt();

 private:
  static std::shared_ptr<GpuMaps> open() {
    std::string reason;
    auto gpu = GpuMaps::open(0, reason);
    if (gpu == nullptr) {
      [&reason] { QSKIP(qPrintable("no GPU: " + QString::fromStdString(reason))); }();
    }
    return gpu;
  }
};

void TstMapsGpu::programCompiles_data() {
  if (!gpu::compilerThere()) {
    QSKIP("NVRTC is not there");
  }
  QTest::addColumn<QString>("definitions");
  for (const char* definitions : {"DIM=64 PARTS=3 SOFTCAP=0 CELL=6", "DIM=128 PARTS=1 SOFTCAP=0 CELL=5",
                                  "DIM=48 PARTS=2 SOFTCAP=1 CELL=3", "DIM=256 PARTS=1 SOFTCAP=0 CELL=4"}) {
    QTest::newRow(definitions) << QString(definitions);
  }
}

void TstMapsGpu::programCompiles() {
  QFETCH(QString, definitions);
  std::vector<std::string> list;
  for (const QString& definition : definitions.split(' ')) {
    list.push_back(definition.toStdString());
  }
  for (const char* architecture : {"sm_80", "sm_90"}) {
    QVERIFY(!gpu::compile(kGpuSource, architecture, list).empty());
  }
  QVERIFY_EXCEPTION_THROWN(gpu::compile("no program", "sm_80", {}), Error);
}

void TstMapsGpu::tilesEqualTheProcessors_data() {
  QTest::addColumn<int>("kind");
  const auto kinds = capturesOfEveryKind(8);
  for (std::size_t i = 0; i < kinds.size(); ++i) {
    QTest::newRow(kinds[i].first.c_str()) << static_cast<int>(i);
  }
}

void TstMapsGpu::tilesEqualTheProcessors() {
  QFETCH(int, kind);
  const auto gpu = open();
  if (gpu == nullptr) {
    return;
  }
  SyntheticCapture options = capturesOfEveryKind(5000)[static_cast<std::size_t>(kind)].second;  // cut at every level
  options.window = options.window ? std::optional<std::int64_t>(1300) : std::nullopt;
  const auto capture = makeLargeCapture(options);
  const auto view = makeHeadView(*capture, 0, 1);
  const auto head = gpu->upload(*view, GpuPrecision::Full);
  for (int level = GpuMaps::kFinestLevel; level < 7; ++level) {
    for (const TileKey& key : {TileKey{1, level, 0, 0}, TileKey{1, level, 0, 1}, TileKey{1, level, 1, 1}}) {
      if (!tileHasValues(key, 5000, view->window)) {
        continue;
      }
      const auto expected = computeTile(*view, key);
      const auto got = gpu->computeTile(*head, key);
      QVERIFY(got->exact && got->key == key);
      for (const auto values : {&Tile::max, &Tile::mean, &Tile::mass}) {
        const double difference = worst((*got).*values, (*expected).*values);
        QVERIFY2(difference <= 1e-5, qPrintable(QString("level %1: %2").arg(level).arg(difference)));
      }
      QVERIFY(worst(got->logit, expected->logit) <= 5e-5);
    }
  }
}

void TstMapsGpu::logSumExpEqualsTheProcessors() {
  const auto gpu = open();
  if (gpu == nullptr) {
    return;
  }
  for (const auto& [name, options] : capturesOfEveryKind(1000)) {
    const auto capture = makeLargeCapture(options);
    const auto view = prepareHeadView(*capture, 0, 0);
    const std::vector<float> expected = view->lse;
    view->lse.assign(view->lse.size(), std::numeric_limits<float>::quiet_NaN());
    gpu->upload(*view, GpuPrecision::Full);
    QVERIFY2(worst(view->lse, expected) <= 2e-5, name.c_str());
  }
}

void TstMapsGpu::otherPrecisionsAreAsGoodAsTheySay() {
  const auto gpu = open();
  if (gpu == nullptr) {
    return;
  }
  SyntheticCapture options;
  options.tokens = 3000;
  options.dim = 64;
  options.scale = 0.125;
  options.spread = 1.0;
  const auto view = makeHeadView(*makeLargeCapture(options), 0, 0);
  const TileKey key{1, 4, 0, 0};
  const auto expected = computeTile(*view, key);
  QVERIFY(worst(gpu->computeTile(*gpu->upload(*view, GpuPrecision::Split), key)->max, expected->max) <= 1e-4);
  QVERIFY(worst(gpu->computeTile(*gpu->upload(*view, GpuPrecision::Bf16), key)->max, expected->max) <= 5e-2);
}

void TstMapsGpu::serviceUsesIt() {
  const auto gpu = open();
  if (gpu == nullptr) {
    return;
  }
  SyntheticCapture options;
  options.tokens = 20000;
  options.dim = 32;
  const auto capture = makeLargeCapture(options);
  std::vector<std::string> notes;
  TileService::Options service;
  service.gpu = gpu;
  service.prefetch = false;
  TileService::Callbacks callbacks;
  callbacks.note = [&notes](const std::string& text) { notes.push_back(text); };
  TileService tiles(service, callbacks);
  HeadSource source{capture, 0, 0};
  source.interventions.ropeBase = 300.0;
  const int level = tileLevels(20000) - 1;
  tiles.setView(0, {source, level, 0, 20000, 0, 20000});
  tiles.waitIdle();
  QVERIFY2(notes.empty(), notes.empty() ? "" : notes.front().c_str());
  const TileKey key{viewId(source), level, 0, 0};
  const auto tile = tiles.find(key);
  QVERIFY(tile != nullptr && tile->exact);
  QVERIFY(worst(tile->mass, computeTile(*makeHeadView(*capture, 0, 0, source.interventions), key)->mass) <= 1e-5);
}

QTEST_GUILESS_MAIN(TstMapsGpu)
#include "tst_maps_gpu.moc"
