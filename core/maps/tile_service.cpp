#include "core/maps/tile_service.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "core/base/thread_priority.h"
#include "core/maps/gpu_maps.h"
#include "core/maps/head_shelf.h"
#include "core/maps/parallel.h"
#include "core/maps/pooling.h"
#include "core/maps/thumbnail_queue.h"
#include "core/maps/tile_plan.h"

namespace headscope {
namespace {

constexpr double kPieceSeconds = 0.012;    ///< of work between two looks at the wishes
constexpr double kPreviewSeconds = 0.004;  ///< an exact tile that takes less needs no preview
constexpr double kGpuWork = 5e7;           ///< multiply-adds from which a tile is worth the way to the GPU
constexpr std::size_t kLikelyTiles = 96;
constexpr std::size_t kBatchTiles = 16;

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
bool supports(const Pane& pane, const TileKey& key) {
  return key.level < pane.request.level && key.level >= baseLevel(pane.map.tokens);
}

// The wanted level, or the finest one at which the view has no more tiles than any screen needs.
int soundLevel(const ViewRequest& request, std::int64_t tokens) {
  constexpr double kMostTiles = 1024;
  int level = std::clamp(request.level, 0, tileLevels(tokens) - 1);
  const auto tiles = [&](double begin, double end) {
    const auto map = static_cast<double>(tokens);
    return std::max(std::clamp(end, 0.0, map) - std::clamp(begin, 0.0, map), 0.0) / std::ldexp(kTileSize, level) + 1;
  };
  while (level + 1 < tileLevels(tokens) &&
         tiles(request.rowBegin, request.rowEnd) * tiles(request.colBegin, request.colEnd) > kMostTiles) {
    ++level;
  }
  return level;
}

std::string problemWith(const HeadSource& source) {
  if (!source.capture) {
    return "there is no capture";
  }
  try {
    const int heads = source.capture->layer(source.layer).heads;
    if (source.head < 0 || source.head >= heads) {
      return concat("head ", source.head, " does not exist in layer ", source.layer);
    }
    checkChannels(source.capture->rope(source.layer), source.interventions);
  } catch (const std::exception& error) {
    return error.what();
  }
  return {};
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
  double rate_ = 2e10 * mapThreads();
};

}  // namespace

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

  mutable std::mutex mutex;
  std::condition_variable_any wake;
  std::condition_variable idle;
  std::map<int, Pane> panes;
  std::uint64_t serial = 0;
  bool changed = true;
  bool resting = false;

  std::map<TileKey, std::unique_ptr<TileBuilder>> builders;  ///< of the worker: tiles that are under way
  std::uint64_t buildersOf = 0;                              ///< the serial of the views that they were kept for
  std::jthread worker;                                       ///< last: joins first
};

void TileService::State::run(const std::stop_token& stop) {
  if (options.background) {
    giveWay();
  }
  cleanVectorState();
  control.stop = stop;
  while (!stop.stop_requested()) {
    {
      const std::lock_guard lock(mutex);
      changed = false;
    }
    try {
      if (workOnce()) {
        continue;
      }
    } catch (const Cancelled&) {
      return;
    }
    std::unique_lock lock(mutex);
    resting = !changed;
    if (resting) {
      idle.notify_all();
    }
    wake.wait(lock, stop, [this] { return changed; });
    resting = false;
  }
}

bool TileService::State::workOnce() {
  return report() || previews() || completeHeads() || exactTiles() || thumbnails(false) || prefetch() ||
         thumbnails(true);
}

void TileService::State::changeViews(const std::function<void(std::map<int, Pane>&)>& change) {
  {
    const std::lock_guard lock(mutex);
    change(panes);
    changed = true;
    resting = false;
  }
  wake.notify_all();
}

bool TileService::State::report() {
  std::vector<std::pair<int, ViewStatus>> due;
  std::vector<std::pair<int, std::string>> problems;
  {
    const std::lock_guard lock(mutex);
    for (auto& [number, pane] : panes) {
      if (!pane.problem.empty()) {
        problems.emplace_back(number, std::exchange(pane.problem, {}));
        pane.abandoned = true;
      }
      if (std::exchange(pane.statusDue, false)) {
        due.emplace_back(number, statusOf(pane));
      }
    }
    dropBuilders();
  }
  for (const auto& [number, problem] : problems) {
    if (callbacks.failed) {
      callbacks.failed(number, problem);
    }
  }
  for (const auto& [number, status] : due) {
    if (callbacks.status) {
      callbacks.status(number, status);
    }
  }
  return false;  // saying so is no work
}

// Tiles under way that nobody looks at any more are dropped; once for each change, as prefetched tiles are not looked
// at.
void TileService::State::dropBuilders() {
  if (std::exchange(buildersOf, serial) == serial) {
    return;
  }
  std::erase_if(builders, [this](const auto& entry) {
    return std::none_of(panes.begin(), panes.end(), [&entry](const auto& numbered) {
      const TileKey& key = entry.first;
      const Pane& pane = numbered.second;
      return pane.map.view == key.view &&
             (std::find(pane.visible.begin(), pane.visible.end(), key) != pane.visible.end() || supports(pane, key));
    });
  });
}

std::vector<int> TileService::State::newestFirst() const {
  std::vector<int> numbers;
  for (const auto& [number, pane] : panes) {
    if (!pane.abandoned && pane.problem.empty()) {
      numbers.push_back(number);
    }
  }
  std::sort(numbers.begin(), numbers.end(), [this](int a, int b) { return panes.at(a).serial > panes.at(b).serial; });
  return numbers;
}

std::set<std::uint64_t> TileService::State::usedViews() {
  const std::lock_guard lock(mutex);
  std::set<std::uint64_t> views;
  for (const auto& [number, pane] : panes) {
    views.insert(pane.map.view);
  }
  return views;
}

TileService::State::Piece TileService::State::pieceFor(int number) const {
  const Pane& pane = panes.at(number);
  Piece piece;
  piece.number = number;
  piece.pane.request = pane.request;
  piece.pane.map = pane.map;
  piece.pane.serial = pane.serial;
  return piece;
}

TileService::State::Piece TileService::State::nextPreviews() {
  const std::lock_guard lock(mutex);
  for (const int number : newestFirst()) {
    const Pane& pane = panes.at(number);
    Piece piece = pieceFor(number);
    const double rows = static_cast<double>(options.previewRows) / std::exp2(pane.request.level);
    for (const TileKey& key : pane.visible) {
      const double work = tileWork(key, pane.map.tokens, pane.map.window, pane.map.dim);
      if (piece.work >= pace.piece() || pace.seconds(work) < kPreviewSeconds || suitsGpu(key, work) ||
          exactThere(pane, key) || childrenThere(pane, key) || store.has(key)) {
        continue;
      }
      piece.keys.push_back(key);
      piece.work += work * rows;
    }
    if (!piece.keys.empty()) {
      return piece;
    }
  }
  return {};
}

bool TileService::State::childrenThere(const Pane& pane, const TileKey& key) const {
  if (key.level == 0) {
    return false;
  }
  const auto children = childKeys(key);
  return std::all_of(children.begin(), children.end(), [&](const TileKey& child) {
    return !tileHasValues(child, pane.map.tokens, pane.map.window) || exactThere(pane, child);
  });
}

// Above the base level tiles are derived: what is computed first is a tile of the base level below.
TileKey TileService::State::firstToCompute(const Pane& pane, const TileKey& key) const {
  if (key.level <= baseLevel(pane.map.tokens) || childrenThere(pane, key)) {
    return key;
  }
  for (const TileKey& child : childKeys(key)) {
    if (tileHasValues(child, pane.map.tokens, pane.map.window) && !exactThere(pane, child)) {
      return firstToCompute(pane, child);
    }
  }
  return key;
}

// Small tiles share a piece.
void TileService::State::addBatch(const Pane& pane, Piece& piece) const {
  for (const TileKey& key : pane.visible) {
    const double work = tileWork(key, pane.map.tokens, pane.map.window, pane.map.dim);
    if (piece.work + work > pace.piece() || piece.keys.size() >= kBatchTiles) {
      return;
    }
    if (key != piece.keys.front() && !exactThere(pane, key) && !childrenThere(pane, key) && !builders.contains(key)) {
      piece.keys.push_back(key);
      piece.work += work;
    }
  }
}

TileService::State::Piece TileService::State::nextExact() {
  const std::lock_guard lock(mutex);
  for (const int number : newestFirst()) {
    const Pane& pane = panes.at(number);
    for (const TileKey& key : pane.visible) {
      if (exactThere(pane, key)) {
        continue;
      }
      Piece piece = pieceFor(number);
      const TileKey first = firstToCompute(pane, key);
      piece.keys.push_back(first);
      piece.derive = childrenThere(pane, first);
      piece.work = tileWork(first, pane.map.tokens, pane.map.window, pane.map.dim);
      if (!piece.derive && first == key && pane.request.level <= baseLevel(pane.map.tokens)) {
        addBatch(pane, piece);
      }
      return piece;
    }
  }
  return {};
}

TileService::State::Piece TileService::State::nextLikely() {
  const std::lock_guard lock(mutex);
  for (const int number : newestFirst()) {
    Pane& pane = panes.at(number);
    while (!pane.likely.empty()) {
      const TileKey key = pane.likely.back();
      const bool derive = childrenThere(pane, key);
      const bool done = exactThere(pane, key);
      if (!done && !derive && key.level > baseLevel(pane.map.tokens) && pane.expanded.insert(key).second) {
        for (const TileKey& child : childKeys(key)) {
          if (tileHasValues(child, pane.map.tokens, pane.map.window)) {
            pane.likely.push_back(child);
          }
        }
        continue;
      }
      Piece piece = pieceFor(number);
      piece.keys.push_back(key);
      piece.derive = derive;
      piece.work = tileWork(key, pane.map.tokens, pane.map.window, pane.map.dim);
      const bool direct = derive || key.level <= baseLevel(pane.map.tokens);
      if (done || !direct || derive || piece.work <= pace.piece()) {
        pane.likely.pop_back();  // once only, even if the cache is too small to keep it
      }
      if (!done && direct) {
        return piece;
      }
    }
  }
  return {};
}

HeadShelf::Head& TileService::State::headOf(const Piece& piece) {
  return shelf.get(piece.pane.map.view, piece.pane.request.source, usedViews(), control);
}

// An error concerns one view: it is reported, and the others go on.
template <typename Work>
void TileService::State::guarded(const Piece& piece, const Work& work) {
  try {
    work();
  } catch (const Cancelled&) {
    throw;
  } catch (const std::exception& error) {
    fail(piece.number, piece.pane.serial, error.what());
  }
}

bool TileService::State::previews() {
  const Piece piece = nextPreviews();
  if (piece.keys.empty()) {
    return false;
  }
  guarded(piece, [&] { computePreviews(piece); });
  return true;
}

void TileService::State::computePreviews(const Piece& piece) {
  HeadShelf::Head& head = headOf(piece);
  pace.measure(piece.work, [&] {
    for (const TileKey& key : piece.keys) {
      if (!head.complete) {
        const MapRange range = tileRange(key, head.view->tokens);
        const CellGrid grid = squareGrid(range, std::int64_t{1} << key.level);
        std::vector<std::int64_t> rows;
        for (std::int64_t y = 0; y < grid.height(); ++y) {
          pickRows(grid, y, options.previewRows, rows);
        }
        fillLogSumExp(*head.view, rows, control);
      }
      deliver(previewTile(*head.view, key, options.previewRows, control));
    }
  });
}

bool TileService::State::completeHeads() {
  Piece piece;
  {
    const std::lock_guard lock(mutex);
    for (const int number : newestFirst()) {
      const Pane& pane = panes.at(number);
      const bool missing = std::any_of(pane.visible.begin(), pane.visible.end(), [&](const TileKey& key) {
        return !exactThere(pane, key) && !childrenThere(pane, key);
      });
      if (missing) {
        piece = pieceFor(number);
        break;
      }
    }
  }
  if (piece.number < 0) {
    return false;
  }
  bool worked = false;
  guarded(piece, [&] {
    HeadShelf::Head& head = headOf(piece);
    worked = !head.complete;
    if (worked && gpu != nullptr && tryGpu([&] { onGpu(piece, head); })) {
      shelf.markComplete(head);
    } else if (worked) {
      shelf.completeStep(head, pace.piece(), control);
    }
  });
  return worked;
}

bool TileService::State::exactTiles() {
  const Piece piece = nextExact();
  if (piece.keys.empty()) {
    return false;
  }
  guarded(piece, [&] { computeExact(piece); });
  return true;
}

std::shared_ptr<const Tile> TileService::State::exactTile(const TileKey& key) {
  if (auto tile = store.findExact(key)) {
    return tile;
  }
  const std::lock_guard lock(mutex);
  for (const auto& [number, pane] : panes) {
    const auto held = pane.held.find(key);
    if (held != pane.held.end()) {
      return held->second;
    }
  }
  return nullptr;
}

// The head on the GPU; its log-sum-exp is known afterwards. Heads of views that nobody looks at make room.
std::shared_ptr<const GpuMaps::Head> TileService::State::onGpu(const Piece& piece, HeadShelf::Head& head) {
  const std::uint64_t view = piece.pane.map.view;
  if (!gpuHeads.contains(view)) {
    const std::set<std::uint64_t> used = usedViews();
    std::erase_if(gpuHeads, [&used](const auto& entry) { return !used.contains(entry.first); });
    const HeadSource& source = piece.pane.request.source;
    const FloatType type = source.capture->layer(source.layer).q.front().type;
    gpuHeads[view] = gpu->upload(*head.view, type == FloatType::F32 ? GpuPrecision::Full : GpuPrecision::Split);
  }
  return gpuHeads.at(view);
}

// What fails on the GPU is done on the processor, from then on.
template <typename Work>
bool TileService::State::tryGpu(const Work& work) {
  try {
    work();
    return true;
  } catch (const Error& error) {
    gpuHeads.clear();
    gpu.reset();
    if (callbacks.note) {
      callbacks.note(concat(error.problem(), ": maps are computed on the processor"));
    }
    return false;
  }
}

void TileService::State::computeExact(const Piece& piece) {
  const TileKey& first = piece.keys.front();
  const MapShape& map = piece.pane.map;
  if (piece.derive) {
    std::array<std::shared_ptr<const Tile>, 4> children;
    const std::array<TileKey, 4> keys = childKeys(first);
    std::transform(keys.begin(), keys.end(), children.begin(), [this](const TileKey& key) { return exactTile(key); });
    deliver(deriveTile(first, map.tokens, map.window, children));
    return;
  }
  HeadShelf::Head& head = headOf(piece);
  if (!head.complete) {  // only for prefetching: a view in front of it would have completed it
    shelf.completeStep(head, pace.piece(), control);
    return;
  }
  if (suitsGpu(first, piece.work)) {
    std::shared_ptr<const Tile> tile;
    if (tryGpu([&] { tile = gpu->computeTile(*onGpu(piece, head), first); })) {
      deliver(tile);
      return;
    }
  }
  if (piece.work > pace.piece()) {
    std::unique_ptr<TileBuilder>& builder = builders[first];
    if (!builder) {
      builder = std::make_unique<TileBuilder>(head.view, first);
    }
    bool done = false;
    pace.measure(std::min(piece.work, pace.piece()), [&] { done = builder->step(pace.piece(), control); });
    if (done) {
      const std::shared_ptr<const Tile> tile = builder->take();
      builders.erase(first);
      deliver(tile);
    }
    return;
  }
  std::vector<std::shared_ptr<const Tile>> tiles(piece.keys.size());
  pace.measure(piece.work, [&] {
    const auto compute = [&](std::size_t i) {
      const TileKey& key = piece.keys[i];
      tiles[i] = store.get(key, [&] { return computeTile(*head.view, key, control); });
    };
    if (tiles.size() == 1) {
      compute(0);  // its rows run in parallel
    } else {
      parallelFor(static_cast<std::int64_t>(tiles.size()),
                  [&](std::int64_t index) { compute(static_cast<std::size_t>(index)); });
    }
  });
  for (const std::shared_ptr<const Tile>& tile : tiles) {
    deliver(tile);
  }
}

void TileService::State::deliver(const std::shared_ptr<const Tile>& tile) {
  if (!store.hasExact(tile->key)) {
    store.insert(tile);
  }
  std::vector<std::pair<int, ViewStatus>> viewers;
  {
    const std::lock_guard lock(mutex);
    for (auto& [number, pane] : panes) {
      if (pane.map.view != tile->key.view) {
        continue;
      }
      const bool visible = std::find(pane.visible.begin(), pane.visible.end(), tile->key) != pane.visible.end();
      if (tile->exact && (visible || supports(pane, tile->key))) {
        pane.held[tile->key] = tile;
      }
      if (visible) {
        viewers.emplace_back(number, statusOf(pane));
      }
    }
  }
  for (const auto& [number, status] : viewers) {
    if (callbacks.tileReady) {
      callbacks.tileReady(number, tile);
    }
    if (callbacks.status) {
      callbacks.status(number, status);
    }
  }
}

void TileService::State::fail(int number, std::uint64_t ofSerial, const std::string& problem) {
  const std::lock_guard lock(mutex);
  const auto pane = panes.find(number);
  if (pane != panes.end() && pane->second.serial == ofSerial) {
    pane->second.problem = problem;
  }
}

ViewStatus TileService::State::statusOf(const Pane& pane) const {
  ViewStatus status;
  status.view = pane.map.view;
  status.level = pane.request.level;
  status.rowsPerCell = options.previewRows;
  status.wanted = static_cast<int>(pane.visible.size());
  for (const TileKey& key : pane.visible) {
    if (exactThere(pane, key)) {
      ++status.exact;
    } else if (store.has(key)) {
      ++status.preview;
    }
  }
  return status;
}

bool TileService::State::thumbnails(bool exact) {
  const ThumbnailQueue::Outcome outcome =
      exact ? wall.refine(pace.piece(), control) : wall.sample(pace.piece(), control);
  if (!outcome.problem.empty() && callbacks.failed) {
    callbacks.failed(-1, outcome.problem);
  }
  if (callbacks.thumbnailReady) {
    for (const std::shared_ptr<const Thumbnail>& thumbnail : outcome.finished) {
      callbacks.thumbnailReady(thumbnail);
    }
  }
  return outcome.worked;
}

bool TileService::State::prefetch() {
  if (!options.prefetch) {
    return false;
  }
  const Piece piece = nextLikely();
  if (piece.keys.empty()) {
    return false;
  }
  guarded(piece, [&] { computeExact(piece); });
  return true;
}

TileService::TileService(const Options& options, Callbacks callbacks)
    : state_(std::make_unique<State>(options, std::move(callbacks))) {
  state_->start();
}

TileService::~TileService() = default;

void TileService::setView(int pane, const ViewRequest& request) {
  Pane next;
  next.request = request;
  next.problem = problemWith(request.source);
  if (next.problem.empty()) {
    const Capture& capture = *request.source.capture;
    next.request.level = soundLevel(request, capture.tokens());
    next.map = {viewId(request.source), capture.tokens(), capture.attention(request.source.layer).window,
                capture.layer(request.source.layer).dim};
    const VisiblePart part{request.rowBegin, request.rowEnd, request.colBegin, request.colEnd};
    next.visible = visibleTiles(next.map, part, next.request.level);
    next.likely = likelyTiles(next.map, part, next.request.level, kLikelyTiles);
    std::reverse(next.likely.begin(), next.likely.end());
  }
  state_->changeViews([&](std::map<int, Pane>& panes) {
    next.serial = ++state_->serial;
    Pane& old = panes[pane];
    if (old.map.view == next.map.view) {
      for (auto& [key, tile] : old.held) {
        if (supports(next, key) || std::find(next.visible.begin(), next.visible.end(), key) != next.visible.end()) {
          next.held.emplace(key, std::move(tile));
        }
      }
    }
    state_->store.find({next.map.view, tileLevels(next.map.tokens) - 1, 0, 0});  // the coarsest is kept alive
    for (const TileKey& key : next.visible) {  // what the cache still has stays as long as it is in view
      if (auto tile = state_->store.findExact(key)) {
        next.held.emplace(key, std::move(tile));
      }
    }
    old = std::move(next);
  });
}

void TileService::clearView(int pane) {
  state_->changeViews([pane](std::map<int, Pane>& panes) { panes.erase(pane); });
}

void TileService::setThumbnails(const ThumbnailRequest& request) {
  state_->wall.set(request);
  state_->changeViews([](std::map<int, Pane>&) {});
}

std::shared_ptr<const Thumbnail> TileService::thumbnail(std::uint64_t captureId, int layer, int head) const {
  return state_->wall.find(captureId, layer, head);
}

std::shared_ptr<const Tile> TileService::find(const TileKey& key) const {
  if (const auto exact = state_->exactTile(key)) {
    return exact;
  }
  return state_->store.find(key);
}

TilePart TileService::best(const TileKey& key) const {
  TileKey at = key;
  for (int cells = kTileSize; cells >= 1; cells /= 2, at = parentKey(at)) {
    if (auto tile = find(at)) {
      const std::int64_t factor = kTileSize / cells;  // wanted tiles along one side of the ancestor
      return {std::move(tile), static_cast<int>((key.x - at.x * factor) * cells),
              static_cast<int>((key.y - at.y * factor) * cells), cells};
    }
  }
  return {};
}

std::shared_ptr<const Tile> TileService::exactTile(const HeadSource& source, const TileKey& key,
                                                   const JobControl& control) {
  if (auto tile = state_->exactTile(key)) {
    return tile;
  }
  return state_->store.get(key, [&] {
    std::shared_ptr<const HeadView> head = state_->shelf.find(key.view);
    if (!head) {
      head = makeHeadView(*source.capture, source.layer, source.head, source.interventions, control);
    }
    return computeTile(*head, key, control);
  });
}

std::shared_ptr<const HeadView> TileService::headView(std::uint64_t view) const {
  return state_->shelf.find(view);
}

void TileService::setTileBytes(std::uint64_t bytes) {
  state_->store.setLimit(bytes);
}

TileStore::Statistics TileService::statistics() const {
  return state_->store.statistics();
}

void TileService::waitIdle() {
  std::unique_lock lock(state_->mutex);
  state_->idle.wait(lock, [this] { return state_->resting && !state_->changed; });
}

}  // namespace headscope
