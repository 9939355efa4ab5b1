#pragma once

// Serves the tiles and thumbnails that somebody looks at. No Qt: the window posts the callbacks to its own thread.
//
// A view asks for one level and a rectangle (setView, any thread, returns at once). For each visible tile that is not
// there yet the service delivers, in this order: a labelled preview from sampled rows, then the exact tile, from the
// centre of the view outwards. Until then the window draws best(): the finest cached ancestor. A later setView drops
// only what left the view; tiles that are still visible go on. Sampled thumbnails take turns with exact tiles; when
// nothing visible is missing, one ring around the views and the levels next to them are prefetched.
//
// Work: one thread of its own decides what comes next, and cuts it into pieces that run on all cores
// (core/base/parallel.h). A new view is looked at between two pieces, a few milliseconds apart.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/maps/tile_store.h"
#include "core/maps/tiles.h"

namespace headscope {

/// Which map: one head of one capture, perhaps under interventions.
struct HeadSource {
  std::shared_ptr<const Capture> capture;
  int layer = 0, head = 0;
  Interventions interventions = {};
};

/// TileKey::view of a map. The same map has the same id all the time; ids are never used again.
std::uint64_t viewId(const HeadSource& source);

/// The level to ask for at this zoom, so that no cell is smaller than a device pixel: 0 if a token covers at least a
/// pixel, otherwise ⌈log2(tokensPerPixel)⌉, at most tileLevels(tokens) − 1.
int levelFor(double tokensPerPixel, std::int64_t tokens);

struct ViewRequest {
  HeadSource source;
  int level = 0;
  /// The visible part in tokens, [begin, end); may reach beyond the map.
  double rowBegin = 0, rowEnd = 0, colBegin = 0, colEnd = 0;
};

/// How far one pane is: exact == wanted means that nothing in view is missing or sampled.
struct ViewStatus {
  int wanted = 0;       ///< tiles in view that have a value at all
  int exact = 0;        ///< of these, computed exactly
  int preview = 0;      ///< of these, shown from sampled rows
  int rowsPerCell = 0;  ///< of a preview: "1 of 8 rows" = rowsPerCell of 2^level
  int level = 0;
  std::uint64_t view = 0;
};

/// A cached tile, or the part of a coarser one, that covers a wanted tile: cells [cellX, cellX + cells) across and
/// [cellY, cellY + cells) down of `tile`, each 256/cells wanted cells wide. `cells` is 256 for the tile itself.
struct TilePart {
  std::shared_ptr<const Tile> tile;  ///< null: nothing is cached
  int cellX = 0, cellY = 0, cells = 0;
};

/// One head of the wall: the whole map pooled to size × size cells (fewer if there are fewer tokens).
struct Thumbnail {
  std::uint64_t captureId = 0;
  int layer = 0, head = 0;
  int size = 0;             ///< cells a side
  bool exact = false;       ///< false: one sampled query row per cell; max is a lower bound, mass unbiased
  std::vector<float> max;   ///< [size, size] largest probability; NaN where no key is visible
  std::vector<float> mass;  ///< [size, size] sum over the cell's keys, mean over its queries; NaN likewise
};

struct ThumbnailRequest {
  struct Head {
    int layer = 0, head = 0;
  };
  std::shared_ptr<const Capture> capture;
  int size = 64;
  /// First come, first served: put what is visible in front. Heads of layers that are not ready wait.
  std::vector<Head> heads;
  bool exact = true;  ///< refine after all are there from sampled rows
};

class GpuMaps;

class TileService {
 public:
  struct Options {
    std::uint64_t tileBytes = std::uint64_t{512} << 20;  ///< of cached tiles; each has 1 MiB
    std::uint64_t headBytes = std::uint64_t{512} << 20;  ///< of prepared heads (q and k after RoPE)
    int previewRows = 1;                                 ///< sampled rows of each cell of a preview
    bool prefetch = true;
    bool background = false;  ///< its threads give way to the program's other ones (core/base/thread_priority.h)
    std::shared_ptr<GpuMaps> gpu = {};  ///< computes coarse tiles, if given (core/maps/gpu_maps.h)
  };

  /// All are called from the service's thread, one at a time, and none after the destructor has returned. They must
  /// not call back into the service, except for find(), best() and headView().
  struct Callbacks {
    std::function<void(int pane, std::shared_ptr<const Tile> tile)> tileReady;  ///< preview or exact: see Tile::exact
    std::function<void(int pane, const ViewStatus& status)> status;
    std::function<void(std::shared_ptr<const Thumbnail> thumbnail)> thumbnailReady;
    std::function<void(int pane, const std::string& problem)> failed;  ///< pane −1: a thumbnail
    std::function<void(const std::string& text)> note;  ///< something to know, once: the GPU gave up, say
  };

  TileService(const Options& options, Callbacks callbacks);
  ~TileService();  ///< stops within milliseconds

  /// What pane number `pane` (any small number of the caller's) shows from now on.
  void setView(int pane, const ViewRequest& request);
  void clearView(int pane);

  /// Replaces the earlier request; finished thumbnails of the same capture and size are not made again (nor delivered
  /// again: see thumbnail()). Call it again when layers of a growing capture become ready.
  void setThumbnails(const ThumbnailRequest& request);
  std::shared_ptr<const Thumbnail> thumbnail(std::uint64_t captureId, int layer, int head) const;  ///< or null

  /// From the cache, at once: the tile (exact if it is there, otherwise a preview) or null.
  std::shared_ptr<const Tile> find(const TileKey& key) const;
  /// The tile or the finest cached ancestor.
  TilePart best(const TileKey& key) const;
  /// The exact tile, computed in the calling thread if it isn't cached: for exports. If the service computes the same
  /// tile at that moment, one of the two waits for the other.
  std::shared_ptr<const Tile> exactTile(const HeadSource& source, const TileKey& key, const JobControl& control = {});
  /// q and k after RoPE of a map in use, for values under the cursor; null until it was needed for a tile.
  std::shared_ptr<const HeadView> headView(std::uint64_t view) const;

  void setTileBytes(std::uint64_t bytes);
  /// Coarse tiles are computed there from now on; null: on the processor.
  void setGpu(std::shared_ptr<GpuMaps> gpu);
  TileStore::Statistics statistics() const;

  /// Blocks until nothing is left to do, prefetch included. For tests and exports.
  void waitIdle();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace headscope
