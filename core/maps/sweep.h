#pragma once

// The inner engine of all maps: a panel of query rows is swept over keys, block by block, and somebody looks at the
// logits of each block while they are in the first-level cache. Nothing of the size tokens × tokens exists.

#include <algorithm>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <vector>

#include "core/maps/kernels.h"
#include "core/maps/visible_pairs.h"

namespace headscope {

/// What turns a dot product of prepared rows (scale included) into a logit, and which keys a row sees.
struct LogitRule {
  int dim = 0;
  std::optional<std::int64_t> window;
  std::optional<double> softcap;
};

/// One query row of a sweep.
struct QueryRow {
  std::int64_t token = 0;
  const float* q = nullptr;  ///< [dim] after RoPE, × scale
  float normalizer = 0;      ///< natural log of what its exponentials are divided by
};

constexpr double kLog2E = 1.44269504088896340736;
constexpr double kLn2 = 0.69314718055994530942;

/// Log-sum-exps are large numbers whose absolute error counts: they change their base in double.
inline float toBase2(float natural) noexcept {
  return static_cast<float>(static_cast<double>(natural) * kLog2E);
}
inline float toBaseE(float binary) noexcept {
  return static_cast<float>(static_cast<double>(binary) * kLn2);
}

/// Buffers of one thread.
class Sweep {
 public:
  Sweep(const LogitRule& rule, const float* keys);

  int lanes() const noexcept { return kernels_.lanes; }
  const Kernels& kernels() const noexcept { return kernels_; }

  /// Takes up to lanes() rows with rising tokens. With `relative` the swept values are log2 of the probability,
  /// otherwise log2(e) · logit. Lanes without a row stay at −inf.
  void load(std::span<const QueryRow> rows, bool relative);

  /// Visits every block of the keys [colBegin, colEnd) that a row of the panel can see, in rising order:
  /// visit(first key, number of keys, y [keys, lanes]). Pairs that are not visible are −inf.
  template <typename Visit>
  void run(std::int64_t colBegin, std::int64_t colEnd, const Visit& visit) {
    const std::int64_t begin = std::max(colBegin, firstVisibleKey(rule_.window, tokens_.front()));
    const std::int64_t end = std::min(colEnd, tokens_.back() + 1);
    for (std::int64_t key = begin; key < end; key += kernels_.block) {
      const int count = static_cast<int>(std::min<std::int64_t>(kernels_.block, end - key));
      compute(key, count);
      visit(key, count, static_cast<const float*>(y_.data()));
    }
  }

 private:
  void compute(std::int64_t firstKey, int count);
  void hideInvisible(std::int64_t firstKey, int count);

  LogitRule rule_;
  const float* keys_;
  const Kernels& kernels_;
  std::vector<std::int64_t> tokens_;  ///< of the loaded rows
  std::vector<float> panel_;          ///< [dim, lanes]
  std::vector<float> init_;           ///< [lanes] where the sums of the product start
  std::vector<float> shift_;          ///< [lanes] added after the softcap
  std::vector<float> y_;              ///< [block, lanes]
};

}  // namespace headscope
