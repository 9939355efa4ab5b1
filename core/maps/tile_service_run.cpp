// The service's thread: its order of work, and what it reports.

#include <cmath>

#include "core/base/thread_priority.h"
#include "core/maps/tile_service_state.h"

namespace headscope {

void TileService::State::run(const std::stop_token& stop) {
  if (options.background) {
    giveWay(Patience::Shown);
  }
  cleanVectorState();
  control.stop = stop;
  while (!stop.stop_requested()) {
    {
      const std::lock_guard lock(mutex);
      changed = false;
      if (nextGpu) {
        gpuHeads.clear();  // before the device that they are on
        gpu = std::move(*std::exchange(nextGpu, std::nullopt));
      }
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
  if (report() || previews()) {
    return true;
  }
  // The exact map of a long text takes many seconds, the sampled wall some: they take turns, piece by piece.
  wallsTurn = !wallsTurn;
  return (wallsTurn && thumbnails(false)) || completeHeads() || exactTiles() || (!wallsTurn && thumbnails(false)) ||
         prefetch() || thumbnails(true);
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

}  // namespace headscope
