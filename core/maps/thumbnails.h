#pragma once

// Small pictures of whole heads for the wall. Inside core/maps: the window asks TileService.

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/base/job_control.h"
#include "core/maps/head_view.h"
#include "core/maps/pooling.h"
#include "core/maps/tile_service.h"

namespace headscope {

/// From one sampled query row per cell; heads that share keys share their preparation. On all cores.
std::vector<std::shared_ptr<const Thumbnail>> sampleThumbnails(const Capture& capture,
                                                               std::span<const ThumbnailRequest::Head> heads, int size,
                                                               const JobControl& control = {});

/// Multiply-adds (and their like) of one sampled thumbnail.
double sampleWork(const Capture& capture, int layer, int size);

/// An exact thumbnail, made in pieces.
class ThumbnailBuilder {
 public:
  ThumbnailBuilder(const Capture& capture, ThumbnailRequest::Head head, int size, const JobControl& control = {});

  /// About `work` multiply-adds, at least one row of cells. True when complete.
  bool step(double work, const JobControl& control = {});
  std::shared_ptr<const Thumbnail> take();

  const Thumbnail& thumbnail() const noexcept { return *thumbnail_; }

 private:
  std::shared_ptr<HeadView> head_;
  CellGrid grid_;
  std::int64_t nextCellRow_ = 0;
  std::shared_ptr<Thumbnail> thumbnail_;
};

}  // namespace headscope
