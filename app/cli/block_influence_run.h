#pragma once

// Block influence of a run: takes the hidden states as they come and keeps one layer's at a time.

#include <span>
#include <vector>

#include "core/analysis/block_influence.h"
#include "core/model/model.h"

namespace headscope::cli {

class BlockInfluenceRun {
 public:
  BlockInfluenceRun(int layers, std::int64_t width, std::int64_t tokens);

  /// For RunOptions::hidden.
  void add(int layer, std::int64_t first, std::span<const float> rows);

  const BlockInfluence& influence() const noexcept { return influence_; }

 private:
  int layers_;
  int width_;
  std::vector<float> before_;  ///< [tokens, width] what the last layer reported read
  BlockInfluence influence_;
};

}  // namespace headscope::cli
