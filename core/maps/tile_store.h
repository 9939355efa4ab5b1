#pragma once

// The cache of tiles: least recently used first, by bytes. Values only, never colours. Thread-safe.

#include <cstdint>
#include <functional>
#include <memory>

#include "core/maps/tiles.h"

namespace headscope {

class TileStore {
 public:
  struct Statistics {
    std::uint64_t bytes = 0, limit = 0;
    std::uint64_t tiles = 0;
    std::uint64_t hits = 0, misses = 0;  ///< of find() and get()
    std::uint64_t computed = 0;          ///< calls of a computation by get()
    std::uint64_t shared = 0;            ///< get() that waited for the same tile of another thread
    std::uint64_t evicted = 0;
  };
  using Compute = std::function<std::shared_ptr<const Tile>()>;

  explicit TileStore(std::uint64_t bytes);
  ~TileStore();

  /// The exact tile if it is there, otherwise a preview, otherwise null. Counts as use.
  std::shared_ptr<const Tile> find(const TileKey& key) const;
  std::shared_ptr<const Tile> findExact(const TileKey& key) const;
  /// Whether find and findExact would succeed; does not count as use.
  bool has(const TileKey& key) const;
  bool hasExact(const TileKey& key) const;

  /// A preview never replaces an exact tile; an exact tile replaces the preview.
  void insert(std::shared_ptr<const Tile> tile);

  /// The exact tile, computed if it is missing. Two threads that ask for the same tile share one computation; if that
  /// fails or is cancelled, its exception goes to the thread that computed, and the other one computes itself.
  std::shared_ptr<const Tile> get(const TileKey& key, const Compute& compute);

  void setLimit(std::uint64_t bytes);
  void clear();
  Statistics statistics() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace headscope
