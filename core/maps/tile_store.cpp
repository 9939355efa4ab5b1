#include "core/maps/tile_store.h"

#include <condition_variable>
#include <list>
#include <mutex>
#include <set>
#include <unordered_map>

namespace headscope {
namespace {

struct KeyHash {
  std::size_t operator()(const TileKey& key) const noexcept {
    std::uint64_t hash = key.view;
    for (const std::uint64_t part : {static_cast<std::uint64_t>(key.level), static_cast<std::uint64_t>(key.x),
                                     static_cast<std::uint64_t>(key.y)}) {
      hash = (hash ^ part) * 0x9E3779B97F4A7C15u;
      hash ^= hash >> 29;
    }
    return static_cast<std::size_t>(hash);
  }
};

std::uint64_t bytesOf(const Tile& tile) {
  return sizeof(Tile) + (tile.max.size() + tile.mean.size() + tile.mass.size() + tile.logit.size()) * sizeof(float);
}

}  // namespace

struct TileStore::State {
  using Order = std::list<std::shared_ptr<const Tile>>;  ///< the one used last in front

  mutable std::mutex mutex;
  std::condition_variable finished;
  Order order;
  std::unordered_map<TileKey, Order::iterator, KeyHash> places;
  std::set<TileKey> inFlight;
  Statistics statistics;

  std::shared_ptr<const Tile> use(const TileKey& key, bool exactOnly) {
    const auto place = places.find(key);
    const bool found = place != places.end() && ((*place->second)->exact || !exactOnly);
    ++(found ? statistics.hits : statistics.misses);
    if (!found) {
      return nullptr;
    }
    order.splice(order.begin(), order, place->second);
    return *place->second;
  }

  void remove(std::unordered_map<TileKey, Order::iterator, KeyHash>::iterator place) {
    statistics.bytes -= bytesOf(**place->second);
    order.erase(place->second);
    places.erase(place);
  }

  void insert(std::shared_ptr<const Tile> tile) {
    const auto place = places.find(tile->key);
    if (place != places.end()) {
      if ((*place->second)->exact && !tile->exact) {
        return;
      }
      remove(place);
    }
    statistics.bytes += bytesOf(*tile);
    order.push_front(std::move(tile));
    places[order.front()->key] = order.begin();
    trim();
  }

  // The newest tile stays even if it is larger than the limit.
  void trim() {
    while (statistics.bytes > statistics.limit && order.size() > 1) {
      remove(places.find(order.back()->key));
      ++statistics.evicted;
    }
  }
};

TileStore::TileStore(std::uint64_t bytes) : state_(std::make_unique<State>()) {
  state_->statistics.limit = bytes;
}

TileStore::~TileStore() = default;

std::shared_ptr<const Tile> TileStore::find(const TileKey& key) const {
  const std::lock_guard lock(state_->mutex);
  return state_->use(key, false);
}

std::shared_ptr<const Tile> TileStore::findExact(const TileKey& key) const {
  const std::lock_guard lock(state_->mutex);
  return state_->use(key, true);
}

bool TileStore::has(const TileKey& key) const {
  const std::lock_guard lock(state_->mutex);
  return state_->places.contains(key);
}

bool TileStore::hasExact(const TileKey& key) const {
  const std::lock_guard lock(state_->mutex);
  const auto place = state_->places.find(key);
  return place != state_->places.end() && (*place->second)->exact;
}

void TileStore::insert(std::shared_ptr<const Tile> tile) {
  const std::lock_guard lock(state_->mutex);
  state_->insert(std::move(tile));
}

std::shared_ptr<const Tile> TileStore::get(const TileKey& key, const Compute& compute) {
  {
    std::unique_lock lock(state_->mutex);
    if (auto tile = state_->use(key, true)) {
      return tile;
    }
    if (state_->inFlight.contains(key)) {
      state_->finished.wait(lock, [this, &key] { return !state_->inFlight.contains(key); });
      if (auto tile = state_->use(key, true)) {
        ++state_->statistics.shared;
        return tile;
      }
    }
    state_->inFlight.insert(key);
    ++state_->statistics.computed;
  }
  const auto leave = [this, &key](std::shared_ptr<const Tile> tile) {
    {
      const std::lock_guard lock(state_->mutex);
      if (tile) {
        state_->insert(std::move(tile));
      }
      state_->inFlight.erase(key);
    }
    state_->finished.notify_all();
  };
  try {
    std::shared_ptr<const Tile> tile = compute();
    leave(tile);
    return tile;
  } catch (...) {
    leave(nullptr);
    throw;
  }
}

void TileStore::setLimit(std::uint64_t bytes) {
  const std::lock_guard lock(state_->mutex);
  state_->statistics.limit = bytes;
  state_->trim();
}

void TileStore::clear() {
  const std::lock_guard lock(state_->mutex);
  state_->places.clear();
  state_->order.clear();
  state_->statistics.bytes = 0;
}

TileStore::Statistics TileStore::statistics() const {
  const std::lock_guard lock(state_->mutex);
  Statistics statistics = state_->statistics;
  statistics.tiles = state_->order.size();
  return statistics;
}

}  // namespace headscope
