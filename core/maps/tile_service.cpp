#include "core/maps/tile_service.h"

#include <algorithm>
#include <cmath>

#include "core/maps/tile_service_state.h"

namespace headscope {
namespace {

constexpr std::size_t kLikelyTiles = 96;

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

}  // namespace

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

void TileService::setGpu(std::shared_ptr<GpuMaps> gpu) {
  state_->changeViews([this, &gpu](std::map<int, Pane>&) { state_->nextGpu = std::move(gpu); });
}

TileStore::Statistics TileService::statistics() const {
  return state_->store.statistics();
}

void TileService::waitIdle() {
  std::unique_lock lock(state_->mutex);
  state_->idle.wait(lock, [this] { return state_->resting && !state_->changed; });
}

}  // namespace headscope
