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
#include <functional>
#include <memory>
#include <vector>

#include "core/analysis/bounds.h"
#include "core/analysis/head_vectors.h"
#include "core/analysis/packed_rows.h"

namespace headscope {

/// Q, K and D of one head.
class RotatedForm {
 public:
  explicit RotatedForm(const HeadVectors& head);

  const HeadVectors& head() const noexcept { return head_; }
  std::int64_t tokens() const noexcept { return head_.tokens(); }
  int dim() const noexcept { return head_.dim; }
  int channels() const noexcept { return head_.channels(); }
  const Rope& rope() const { return *head_.frame->rope; }
  double frequency(int m) const { return rope().invFreq[static_cast<std::size_t>(m)]; }
  std::int64_t position(std::int64_t t) const { return head_.frame->positions[static_cast<std::size_t>(t)]; }

  const double* q(std::int64_t t) const { return row(changed_ ? ownQ_ : head_.q, t); }        ///< Q_t [dim]
  const double* k(std::int64_t i) const { return row(changed_ ? ownK_ : head_.keys->k, i); }  ///< K_i [dim]
  bool weighted() const noexcept { return weighted_; }                                        ///< D is not 1
  const std::vector<double>& weight() const noexcept { return weight_; }                      ///< [dim] D
  const double* weightedQuery(std::int64_t t) const {
    return row(normed_ ? weightedQ_ : head_.dotQ, t);
  }  ///< D R_t Q_t
  const double* weightedKey(std::int64_t i) const {
    return row(normed_ ? weightedK_ : head_.keys->dotK, i);
  }                                                                                          ///< D R_i K_i
  const PackedRows& packedKeys() const { return weighted_ ? packed_ : head_.keys->packed; }  ///< of weightedKey
  /// R_at · row, a pure rotation, in place.
  void rotate(std::int64_t at, double* row) const;

 private:
  const double* row(const std::vector<double>& rows, std::int64_t t) const { return rows.data() + t * head_.dim; }
  void change(bool queries);

  const HeadVectors& head_;
  bool changed_ = false;  ///< Q, K are not q, k
  bool normed_ = false;   ///< there are steps after RoPE
  bool weighted_ = false;
  std::vector<double> ownQ_, ownK_, weightedQ_, weightedK_, weight_;
  PackedRows packed_;
};

/// bound(t, i) = σ left_t · right_i for one theorem.
struct BoundFactors {
  std::int64_t width = 0;
  std::function<void(std::int64_t t, double* left)> left;  ///< writes left_t [width]
  std::shared_ptr<const PackedRows> right;                 ///< [tokens] of width
};

/// Theorem 5.1 with lag 1, 5.4 with lag L: the right side, the same for all lags, and the whole.
std::shared_ptr<const PackedRows> columnKeys(const RotatedForm& form);
BoundFactors columnFactors(const RotatedForm& form, std::int64_t lag, std::shared_ptr<const PackedRows> keys);
BoundFactors diagonalFactors(const RotatedForm& form);                     ///< Theorem 5.2
BoundFactors periodFactors(const RotatedForm& form, std::int64_t period);  ///< Theorem 5.3

/// Proposition 4.1: x_t = R_{t+1}(Q_{t+1} − Q_t) and y_t = (R_{t+1} − R_t) Q_t, so that c1‖Δq‖ = σ max_i |x_t·D R_i
/// K_i| and c2 = σ max_i |y_t·D R_i K_i|, for steps t from `first` on. [count, dim] each.
struct StepVectors {
  std::vector<double> change, turn;
};
StepVectors stepVectors(const RotatedForm& form, std::int64_t first, std::int64_t count);

}  // namespace headscope
