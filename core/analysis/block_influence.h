#pragma once

// Block influence (ShortGPT, arXiv 2403.03853; tappa.md 5 and 6): how much a layer changes the residual stream,
// BI_l = 1 − mean over t of cos(x_{l,t}, x_{l+1,t}), angular form mean of acos(cos)/π. Fed with rows as a run makes
// them. One object per run; the published value of a corpus is the plain mean over its segments, each a run of its own.

#include <cstdint>
#include <span>
#include <vector>

namespace headscope {

class BlockInfluence {
 public:
  explicit BlockInfluence(int layers);

  /// Rows of the residual stream [rows, width] from token `first` on, as RunOptions::hidden (core/model) hands them
  /// out: what layer `layer` reads; for `layer` = layers what the last layer returns; for layers + 1 the same after the
  /// final norm. For each token layers must come in order. Keeps one row per token.
  void observe(int layer, std::int64_t first, std::span<const float> rows, int width);

  /// Rows before and after block `layer`: [rows, width] float32. May be called in any order and in pieces.
  void add(int layer, const float* before, const float* after, std::int64_t rows, int width);
  /// The last block once more: its input and the model's output AFTER the final norm, as the published code compares.
  void addPublishedLast(const float* before, const float* afterFinalNorm, std::int64_t rows, int width);

  /// One a layer; NaN where no row came.
  std::vector<double> residual() const;   ///< BI (residual): the true residual stream in every layer
  std::vector<double> published() const;  ///< BI (published): the last layer against the final norm's output
  /// Angular form. The published code leaves the cosine unclamped, and float cosines above 1 give it NaN; here it is
  /// clamped.
  std::vector<double> residualAngular() const;
  std::vector<double> publishedAngular() const;

 private:
  struct Sum {
    double cosine = 0, angle = 0;
    std::int64_t rows = 0;
  };
  static void accumulate(Sum& sum, const float* before, const float* after, std::int64_t rows, int width);
  std::vector<double> collect(bool published, bool angular) const;

  int count() const noexcept { return static_cast<int>(layers_.size()); }

  std::vector<Sum> layers_;
  Sum publishedLast_;
  std::vector<float> before_;  ///< [tokens, width] what the latest layer reads, per token
};

}  // namespace headscope
