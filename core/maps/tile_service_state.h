#pragma once

// What is behind TileService: panes, and the one thread that works them off. Inside core/maps only.
//   tile_service.cpp        the door: what callers see
//   tile_service_plan.cpp   what comes next
//   tile_service_work.cpp   doing it
//   tile_service_run.cpp    the thread, and what it reports

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "core/base/parallel.h"
#include "core/maps/gpu_maps.h"
#include "core/maps/head_shelf.h"
#include "core/maps/thumbnail_queue.h"
#include "core/maps/tile_plan.h"
#include "core/maps/tile_service.h"

namespace headscope {

using Tiles = std::map<TileKey, std::shared_ptr<const Tile>>;

struct Pane {
  ViewRequest request;
  MapShape map;
  std::vector<TileKey> visible;  ///< centre-out
  std::vector<TileKey> likely;   ///< to prefetch, the next one last
  std::set<TileKey> expanded;    ///< of `likely`: children were put before it
  Tiles held;                    ///< exact tiles in view and those they are derived from, whatever the cache drops
  std::string problem;           ///< to be reported; then nothing more is done for this view
  bool abandoned = false;
  bool statusDue = true;
  std::uint64_t serial = 0;
};

// Whether tiles in view are derived from this one.
inline bool supports(const Pane& pane, const TileKey& key) {
  return key.level < pane.request.level && key.level >= baseLevel(pane.map.tokens);
}

// How fast this machine is just now, in multiply-adds a second.
class Pace {
 public:
  double piece() const { return rate_ * kPieceSeconds; }
  double seconds(double work) const { return work / rate_; }

  template <typename Work>
  void measure(double work, const Work& run) {
    const auto start = std::chrono::steady_clock::now();
    run();
    const double took = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    if (took > 1e-4) {
      rate_ = std::clamp(0.8 * rate_ + 0.2 * work / took, 1e8, 1e14);
    }
  }

 private:
  static constexpr double kPieceSeconds = 0.012;  ///< of work between two looks at the wishes

  double rate_ = 2e10 * mapThreads();
};

struct TileService::State {
  State(const Options& chosen, Callbacks given)
      : options(chosen), callbacks(std::move(given)), store(chosen.tileBytes), shelf(chosen.headBytes) {}

  void start() {
    worker = std::jthread([this](const std::stop_token& stop) { run(stop); });
  }

  void run(const std::stop_token& stop);
  bool workOnce();
  void changeViews(const std::function<void(std::map<int, Pane>&)>& change);

  // Steps: each does at most one piece of work and returns whether there was any.
  bool report();
  void dropBuilders();
  bool previews();
  bool completeHeads();
  bool exactTiles();
  bool thumbnails(bool exact);
  bool prefetch();

  // A piece of work for one pane's tile.
  struct Piece {
    int number = -1;  ///< of the pane
    Pane pane;        ///< request, map and serial only
    std::vector<TileKey> keys;
    double work = 0;
    bool derive = false;
  };
  Piece nextPreviews();
  Piece nextExact();
  Piece nextLikely();
  void computeExact(const Piece& piece);
  void computePreviews(const Piece& piece);
  HeadShelf::Head& headOf(const Piece& piece);

  static constexpr double kGpuWork = 5e7;  ///< multiply-adds from which a tile is worth the way to the GPU
  bool suitsGpu(const TileKey& key, double work) const {
    return gpu != nullptr && key.level >= GpuMaps::kFinestLevel && work > kGpuWork;
  }
  std::shared_ptr<const GpuMaps::Head> onGpu(const Piece& piece, HeadShelf::Head& head);
  template <typename Work>
  bool tryGpu(const Work& work);

  bool exactThere(const Pane& pane, const TileKey& key) const { return pane.held.contains(key) || store.hasExact(key); }
  std::shared_ptr<const Tile> exactTile(const TileKey& key);
  bool childrenThere(const Pane& pane, const TileKey& key) const;
  TileKey firstToCompute(const Pane& pane, const TileKey& key) const;
  void addBatch(const Pane& pane, Piece& piece) const;
  void deliver(const std::shared_ptr<const Tile>& tile);
  void fail(int pane, std::uint64_t serial, const std::string& problem);
  ViewStatus statusOf(const Pane& pane) const;
  std::vector<int> newestFirst() const;
  std::set<std::uint64_t> usedViews();
  Piece pieceFor(int number) const;
  template <typename Work>
  void guarded(const Piece& piece, const Work& work);

  Options options;
  Callbacks callbacks;
  TileStore store;
  HeadShelf shelf;
  ThumbnailQueue wall;
  Pace pace;
  JobControl control;

  std::shared_ptr<GpuMaps> gpu = options.gpu;                              ///< null when it has given up
  std::map<std::uint64_t, std::shared_ptr<const GpuMaps::Head>> gpuHeads;  ///< of the worker, by view
  std::optional<std::shared_ptr<GpuMaps>> nextGpu;                         ///< guarded by mutex; what setGpu asked for

  mutable std::mutex mutex;
  std::condition_variable_any wake;
  std::condition_variable idle;
  std::map<int, Pane> panes;
  std::uint64_t serial = 0;
  bool wallsTurn = false;  ///< of the worker
  bool changed = true;
  bool resting = false;

  std::map<TileKey, std::unique_ptr<TileBuilder>> builders;  ///< of the worker: tiles that are under way
  std::uint64_t buildersOf = 0;                              ///< the serial of the views that they were kept for
  std::jthread worker;                                       ///< last: joins first
};

}  // namespace headscope
