#pragma once

// What-if changes of one head's captured q and k, as the paper uses them for proof (TAPPA, section on validation;
// ../shared/reference/tappa.md 3). They need no new forward pass for the head in view.

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "core/rope/rope.h"

namespace headscope {

struct Interventions {
  std::optional<double> ropeBase;                 ///< recompute unscaled frequencies X^(−2m/r)
  std::vector<int> dropChannels;                  ///< zero these channels in q
  std::vector<std::pair<int, int>> moveChannels;  ///< exchange channels m and n in q and k before RoPE
  bool noRope = false;                            ///< angles 0; attention scaling stays

  bool any() const noexcept { return ropeBase || !dropChannels.empty() || !moveChannels.empty() || noRope; }
  bool operator==(const Interventions&) const = default;
};

/// The frequencies under `ropeBase` and `noRope`. Throws Error if a base is not positive.
Rope intervenedRope(const Rope& rope, const Interventions& interventions);

/// Throws Error naming the first channel of `interventions` that `rope` doesn't have (null: a layer without RoPE).
void checkChannels(const Rope* rope, const Interventions& interventions);

/// Drops (in queries) and then moves channels of `rows` rows [rows, dim] in place, before RoPE: indices of
/// `dropChannels` are those of the captured q. Several moves are applied in their order.
template <typename Number>
void changeChannels(const Rope& rope, const Interventions& interventions, bool queries, std::int64_t rows, int dim,
                    Number* data) {
  for (std::int64_t row = 0; row < rows; ++row, data += dim) {
    if (queries) {
      for (const int m : interventions.dropChannels) {
        data[rope.first(m)] = data[rope.second(m)] = 0;
      }
    }
    for (const auto& [m, n] : interventions.moveChannels) {
      std::swap(data[rope.first(m)], data[rope.first(n)]);
      std::swap(data[rope.second(m)], data[rope.second(n)]);
    }
  }
}

}  // namespace headscope
