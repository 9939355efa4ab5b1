// Previews, exact tiles and thumbnails: each step at most one piece of work.

#include <array>
#include <cmath>

#include "core/maps/pooling.h"
#include "core/maps/tile_service_state.h"

namespace headscope {

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

}  // namespace headscope
