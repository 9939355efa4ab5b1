#pragma once

// Self-similarity of queries (and keys) along time: TAPPA's measure of how predictable a head is (tappa.md 1).
// Rows are [tokens, dim] in double, row-major.

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "core/analysis/head_vectors.h"

namespace headscope {

struct RowsView {
  const double* data = nullptr;
  std::int64_t rows = 0;
  int dim = 0;

  const double* row(std::int64_t index) const noexcept { return data + index * dim; }
  RowsView slice(std::int64_t first, std::int64_t count) const noexcept { return {row(first), count, dim}; }
};

/// Measures of the published code. Euclidean, L1, Angular and Kl are DISTANCES: higher means less similar.
enum class Measure {
  Cosine,     ///< q·q' / (|q||q'|)
  Dot,        ///< q·q'
  Euclidean,  ///< |q − q'|
  L1,         ///< Σ|q − q'|
  Rbf,        ///< exp(−|q − q'|² / 2), σ = 1
  Pearson,    ///< correlation over the dims, divided by dim as published
  Angular,    ///< acos(cosine) / π
  Kl,         ///< ½ Σ (p − p')(ln p − ln p') of the softmaxed vectors, clamped at 1e-8 and renormalised
};
constexpr std::size_t kMeasureCount = 8;
std::string_view measureName(Measure measure);  ///< "cosine"
bool isDistance(Measure measure);

/// [rows − 1] cos(x_t, x_{t+lag}); empty if there are too few rows.
std::vector<double> consecutiveCosine(const RowsView& rows, std::int64_t lag = 1);
/// Its mean; NaN with fewer than two rows.
double meanConsecutiveCosine(const RowsView& rows);

/// Mean over all s ≠ t. Cosine and dot in O(rows · dim) by the sum of (unit) vectors, the others pair by pair. NaN
/// with fewer than two rows. `sigma` is RBF's: exp(−|q − q'|² / (2σ²)).
double meanPairwise(const RowsView& rows, Measure measure, double sigma = 1.0);

/// mean over t of cos(x_t, x_{t+l}) for l = 0 … rows − 1, by FFT.
std::vector<double> cosineByLag(const RowsView& rows);

/// Published KV setting: mean pairwise cosine of the last 32 queries, after RoPE (as they enter the dot product).
constexpr std::int64_t kKvWindow = 32;
double kvSimilarity(const HeadVectors& head, Measure measure = Measure::Cosine, std::int64_t window = kKvWindow);

/// Published pruning setting: queries before RoPE, segments of at most 1024 tokens that start every 256 tokens until
/// the document's end, equal weight. Segments of one token have no pair and are skipped (the published code gives NaN).
/// The segments are cut from this one run; the published script runs the model anew on each (tappa.md 6.4).
struct SegmentRule {
  std::int64_t length = 1024;
  std::int64_t stride = 256;
};
struct SegmentSimilarity {
  std::int64_t start = 0, tokens = 0;
  double similarity = 0;
};
std::vector<SegmentSimilarity> pruneSegments(const RowsView& queries, const SegmentRule& rule = {});
double pruneSimilarity(const RowsView& queries, const SegmentRule& rule = {});

/// The eight measures, before RoPE, pairwise over the last 1024 tokens at most.
constexpr std::int64_t kMeasureWindow = 1024;
using MeasureScores = std::array<double, kMeasureCount>;  ///< indexed by Measure
MeasureScores allMeasures(const RowsView& queries);

RowsView queriesBeforeRope(const HeadVectors& head);
RowsView queriesInDot(const HeadVectors& head);  ///< after RoPE and any step after it
RowsView keysBeforeRope(const HeadVectors& head);

/// Similarity over time within a window that moves along: at t the mean pairwise cosine of rows (t − window, t].
/// [rows], NaN at t = 0.
std::vector<double> windowedCosine(const RowsView& rows, std::int64_t window);

}  // namespace headscope
