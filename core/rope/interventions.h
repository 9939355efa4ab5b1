#pragma once

// What-if changes of one head's captured q and k, as the paper uses them for proof (TAPPA, section on validation;
// ../shared/reference/tappa.md 3). They need no new forward pass for the head in view.

#include <optional>
#include <utility>
#include <vector>

namespace headscope {

struct Interventions {
  std::optional<double> ropeBase;                  ///< recompute unscaled frequencies X^(−2m/r)
  std::vector<int> dropChannels;                   ///< zero these channels in q
  std::vector<std::pair<int, int>> moveChannels;   ///< exchange channels m and n in q and k before RoPE
  bool noRope = false;                             ///< angles 0; attention scaling stays

  bool any() const noexcept { return ropeBase || !dropChannels.empty() || !moveChannels.empty() || noRope; }
  bool operator==(const Interventions&) const = default;
};

}  // namespace headscope
