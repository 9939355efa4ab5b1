#pragma once

// Which thumbnails are wanted, which are there, and which come next. Inside core/maps only: one thread works the queue
// off, any thread may ask.

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/base/job_control.h"
#include "core/maps/thumbnails.h"

namespace headscope {

class ThumbnailQueue {
 public:
  void set(const ThumbnailRequest& request);
  std::shared_ptr<const Thumbnail> find(std::uint64_t captureId, int layer, int head) const;

  struct Outcome {
    bool worked = false;  ///< false: nothing of this kind is left to do
    std::vector<std::shared_ptr<const Thumbnail>> finished;
    std::string problem;  ///< of a head that is given up
  };

  /// The next heads from sampled rows, about `work` multiply-adds.
  Outcome sample(double work, const JobControl& control);
  /// A piece of the next exact thumbnail.
  Outcome refine(double work, const JobControl& control);

 private:
  using Place = std::pair<int, int>;  ///< layer, head

  bool waiting(const ThumbnailRequest::Head& head) const;
  ThumbnailRequest next(double work) const;
  void keep(const std::shared_ptr<const Thumbnail>& thumbnail);
  void giveUp(const ThumbnailRequest& batch);

  mutable std::mutex mutex_;
  ThumbnailRequest request_;
  std::map<Place, std::shared_ptr<const Thumbnail>> thumbnails_;  ///< of the requested capture and size
  std::set<Place> failed_;
  std::unique_ptr<ThumbnailBuilder> builder_;  ///< of the working thread
};

}  // namespace headscope
