// What the service does next.

#include <array>
#include <cmath>

#include "core/maps/tile_service_state.h"

namespace headscope {
namespace {

constexpr double kPreviewSeconds = 0.004;  ///< an exact tile that takes less needs no preview
constexpr std::size_t kBatchTiles = 16;

}  // namespace

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

}  // namespace headscope
