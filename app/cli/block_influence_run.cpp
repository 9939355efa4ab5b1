#include "app/cli/block_influence_run.h"

#include <algorithm>

namespace headscope::cli {

BlockInfluenceRun::BlockInfluenceRun(int layers, std::int64_t width, std::int64_t tokens)
    : layers_(layers),
      width_(static_cast<int>(width)),
      before_(static_cast<std::size_t>(tokens * width)),
      influence_(layers) {}

void BlockInfluenceRun::add(int layer, std::int64_t first, std::span<const float> rows) {
  float* before = before_.data() + first * width_;
  const auto count = static_cast<std::int64_t>(rows.size()) / width_;
  if (layer > layers_) {
    influence_.addPublishedLast(before, rows.data(), count, width_);
    return;
  }
  if (layer > 0) {
    influence_.add(layer - 1, before, rows.data(), count, width_);
  }
  // The published last layer compares the last block's input with the final norm's output: keep that input.
  if (layer < layers_) {
    std::copy(rows.begin(), rows.end(), before);
  }
}

}  // namespace headscope::cli
