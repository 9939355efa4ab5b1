#pragma once

// TAPPA's five statements, measured against their bounds for every (t, i) of one head (tappa.md 1, 2 and 6.10):
//   Proposition 4.1  ‖a_{t+1} − a_t‖_∞ ≥ c1‖q_{t+1} − q_t‖ − c2                    (a lower bound, one a step)
//   Theorem 5.1  |a_{t+1,i} − a_{t,i}|   ≤ σ(‖Δq_t‖‖k_i‖ + Σ_m 2|sin(θ_m/2)||q_t^m||k_i^m|)
//   Theorem 5.2  |a_{t+1,i+1} − a_{t,i}| ≤ σ(‖Δq_t‖‖k_{i+1}‖ + ‖q_t‖‖Δk_i‖)
//   Theorem 5.3  |a_{t,i−P} − a_{t,i}|   ≤ σ(‖q_t‖‖k_{i−P} − k_i‖ + Σ_m 2|sin(Pθ_m/2)||q_t^m||k_i^m|), P =
//   round(2π/θ_{m*}) Theorem 5.4  |a_{t+L,i} − a_{t,i}|   ≤ σ(‖q_{t+L} − q_t‖‖k_i‖ + Σ_m 2|sin(Lθ_m/2)||q_t^m||k_i^m|),
//   L the season
// Logits before softcap and window, i ≤ t, all in double. Where a model does more than rotate (norms after RoPE, gaps
// in the positions, scaled cos and sin), the norms are those of the vectors that enter the dot product and the sums
// gain the terms that keep them bounds; see bound_factors.h.

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "core/analysis/head_scores.h"
#include "core/analysis/head_vectors.h"
#include "core/base/job_control.h"

namespace headscope {

enum class Statement { Proposition41, Theorem51, Theorem52, Theorem53, Theorem54 };
constexpr std::size_t kStatementCount = 5;
std::string_view statementKey(Statement statement);    ///< "prop_4_1"
std::string_view statementTitle(Statement statement);  ///< "Proposition 4.1: …" for people

constexpr double kBoundRounding = 1e-9;

struct BoundSummary {
  std::int64_t violations = 0;  ///< beyond rounding: kBoundRounding of max(1, largest bound)
  std::int64_t pairs = 0;       ///< pairs (t, i) with bound > 0; steps t for Proposition 4.1
  /// measured / bound over these pairs; for Proposition 4.1 bound / measured. None without pairs.
  std::optional<double> tightnessMean, tightnessMax;
};

/// Over time: at each step t the largest measured value and the largest bound (over i). NaN: no pair at t, or not
/// sampled.
struct BoundCurve {
  std::vector<double> measured, bound;  ///< [tokens]
};

struct BoundReport {
  std::array<BoundSummary, kStatementCount> summaries;
  std::array<BoundCurve, kStatementCount> curves;  ///< filled if asked for
  std::int64_t season = 0;                         ///< L of Theorem 5.4; 0: the text is too short for one
  std::int64_t diagonalPeriod = 0;                 ///< P of Theorem 5.3; 0: none
  bool exact = true;                               ///< false: from sampled rows

  const BoundSummary& operator[](Statement statement) const { return summaries[static_cast<std::size_t>(statement)]; }
};

struct BoundOptions {
  std::optional<std::int64_t> season;  ///< default: bestSeason(head)
  RowSample sample;
  bool curves = false;
};

BoundReport checkBounds(const HeadVectors& head, const BoundOptions& options = {}, const JobControl& control = {});

/// The lag L, 2 ≤ L ≤ max(2, tokens / 4), with the best q-similarity: mean over t of cos(q_t, q_{t+L}) before RoPE. A
/// longer lag would have few repeats to show. 0 if the text has fewer than three tokens. With `lastTokens` above 0 from
/// the end of a longer text: an estimate.
std::int64_t bestSeason(const HeadVectors& head, std::int64_t lastTokens = 0);

}  // namespace headscope
