#pragma once

// The right-hand sides of Theorems 5.1 to 5.4 as products: bound(t, i) = σ · left_t · right_i, every factor ≥ 0, so
// that all pairs come from one kernel. Inside core/analysis only.
//
// What a logit is, in general: a(t, i) = σ (R_t Q_t)ᵀ D (R_i K_i). R_t is a pure rotation; Q and K are q and k times
// everything that commutes with it (attention scaling on the rotary dims, position scale, 1/rms of a norm after RoPE);
// D = diag(weights of such norms), else 1. D splits on each channel into its mean C, which commutes with the rotation,
// and ±e, which turns the other way: its term moves with t + i. Plain RoPE has D = C = 1, e = 0: the formulas of
// bounds.h. Gaps in the positions enter as δ_t = p_{t+1} − p_t; where they differ, |sin(x ± y)| ≤ |sin x| + |sin y|
// keeps products.

#include <cstdint>
#include <optional>
#include <vector>

#include "core/analysis/bounds.h"
#include "core/analysis/head_vectors.h"
#include "core/analysis/packed_rows.h"

namespace headscope {

/// Q, K and D of one head.
struct RotatedForm {
  explicit RotatedForm(const HeadVectors& head);

  const HeadVectors& head;
  std::vector<double> q, k;                ///< [tokens, dim] Q and K
  std::vector<double> weight;              ///< [dim] D
  std::vector<double> qLengths, kLengths;  ///< [tokens, channels] |Q_t^m|, |K_i^m|
  bool weighted = false;                   ///< D is not 1

  std::int64_t tokens() const noexcept { return head.tokens(); }
  int channels() const noexcept { return head.channels(); }
  double frequency(int m) const { return head.frame->rope->invFreq[static_cast<std::size_t>(m)]; }
  std::int64_t position(std::int64_t t) const { return head.frame->positions[static_cast<std::size_t>(t)]; }
  /// R_at · row, a pure rotation.
  void rotate(std::int64_t at, double* row) const;
  /// [tokens, dim] D R_i K_i and D R_t Q_t.
  std::vector<double> weightedKeys() const { return weightedRows(false); }
  std::vector<double> weightedQueries() const { return weightedRows(true); }
  /// [tokens, channels] lengths of the pairs of `rows`, which are [tokens, dim].
  std::vector<double> lengthsOf(const std::vector<double>& rows) const;

 private:
  std::vector<double> weightedRows(bool queries) const;
};

/// bound(t, i) = σ left_t · right_i for one theorem.
struct BoundFactors {
  std::int64_t width = 0;
  std::vector<double> left;  ///< [tokens, width]
  PackedRows right;          ///< [tokens] of width
};

BoundFactors columnFactors(const RotatedForm& form, std::int64_t lag);     ///< Theorem 5.1 with lag 1, 5.4 with lag L
BoundFactors diagonalFactors(const RotatedForm& form);                     ///< Theorem 5.2
BoundFactors periodFactors(const RotatedForm& form, std::int64_t period);  ///< Theorem 5.3

/// Proposition 4.1: x_t = R_{t+1}(Q_{t+1} − Q_t) and y_t = (R_{t+1} − R_t) Q_t, so that c1‖Δq‖ = σ max_i |x_t·D R_i
/// K_i| and c2 = σ max_i |y_t·D R_i K_i|, for steps t from `first` on. [count, dim] each.
struct StepVectors {
  std::vector<double> change, turn;
};
StepVectors stepVectors(const RotatedForm& form, std::int64_t first, std::int64_t count);

}  // namespace headscope
