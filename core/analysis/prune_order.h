#pragma once

// Layer orders for pruning (tappa.md 5): which layer goes first. The arithmetic only; files are core/masks' matter.
//   ShortGPT: BI ascending.   TAPPA: BI' = norm(BI) + β (1 − norm(qsim)), ascending.   q-similarity: most similar
//   first.
// norm = min-max over layers (0 where all are equal). Ties by index.

#include <string_view>
#include <vector>

namespace headscope {

inline constexpr std::string_view kTappaFormula = "BI_prime = BI_norm + beta * (1 - q_similarity_norm)";

struct PruneScores {
  std::vector<double> biNorm, qSimilarityNorm;
  std::vector<double> score;  ///< tappa_score
  std::vector<int> order;     ///< layers, first removed first
};

/// (x − min) / (max − min) per layer. Throws Error if a value is not finite.
std::vector<double> minMaxNorm(const std::vector<double>& values);
/// Indices by ascending value, ties by index. Throws Error if a value is not finite (it could not be ordered).
std::vector<int> ascendingOrder(const std::vector<double>& values);

/// Throws Error if lengths differ, are 0, or a value is not finite.
PruneScores tappaPruneScores(const std::vector<double>& bi, const std::vector<double>& qSimilarity, double beta);
std::vector<int> shortGptOrder(const std::vector<double>& bi);
std::vector<int> mostSimilarFirst(const std::vector<double>& qSimilarity);

}  // namespace headscope
