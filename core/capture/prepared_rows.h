#pragma once

// Queries and keys as the dot product reads them: captured rows, then interventions, RoPE and the steps after it.

#include <cstdint>

#include "core/capture/capture.h"
#include "core/rope/interventions.h"

namespace headscope {

enum class RowsOf { Query, Key };

/// One layer's recipe; build it once and use it for many heads and blocks of rows.
class RowPreparation {
 public:
  /// Throws Error if an intervention names a channel that the layer doesn't have.
  RowPreparation(const Capture& capture, int layer, const Interventions& interventions = {});

  /// Rows [first, first + count) of query head or KV head `head` into `target` [count, dim], float32. The scale of the
  /// logits is not applied.
  void read(RowsOf side, int head, std::int64_t first, std::int64_t count, float* target) const;

 private:
  void afterRope(RowsOf side, std::int64_t first, std::int64_t count, float* data) const;

  const Capture& capture_;
  const CaptureLayer& layer_;
  const AttentionSpec& spec_;
  Interventions interventions_;
  std::optional<Rope> rope_;
};

}  // namespace headscope
