#pragma once

// How alike two rows of attention are. Inside core/analysis only.

#include <cstdint>
#include <span>

namespace headscope {

/// Σ_i min(a_i, b_i) beyond chance, (shared − chance) / (1 − chance), where chance is what they share when one of them
/// is turned along the keys (median of five turns, so that a turn by a period does not count). One of the rows lies
/// over `extra` keys that the other doesn't reach: what these take on average, extra / (keys + extra), is given back.
/// At most 1; negative where rows avoid each other.
double rowAgreement(std::span<const double> a, std::span<const double> b, std::int64_t extra);

/// One row against itself moved by `lag` keys.
double rowEcho(std::span<const double> row, std::int64_t lag);

}  // namespace headscope
