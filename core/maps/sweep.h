#pragma once

// The inner engine of all maps: panels of query rows are swept over keys, block by block, and somebody looks at the
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

/// Query rows that a task should take: enough to use each block of keys several times while it is in the second-level
/// cache (a head's keys don't fit), few enough for all cores to have work. Depends on the map alone, never on threads.
inline std::int64_t rowsPerTask(std::int64_t rows) noexcept {
  return std::clamp<std::int64_t>((rows / 64 + 31) / 32 * 32, 64, 256);
}

/// Panels and buffers of one thread.
class Sweep {
 public:
  Sweep(const LogitRule& rule, const float* keys);

  /// Rows of a panel: row i of those loaded is in lane i % lanes() of panel i / lanes().
  int lanes() const noexcept { return kernels_.lanes; }
  std::size_t panels() const noexcept { return used_; }
  const Kernels& kernels() const noexcept { return kernels_; }

  /// Takes rows with rising tokens. With `relative` the swept values are log2 of the probability, otherwise
  /// log2(e) · logit. Lanes without a row stay at −inf.
  void load(std::span<const QueryRow> rows, bool relative);

  /// Visits every block of the keys [colBegin, colEnd) that a row of a panel can see, for each panel in rising order:
  /// visit(panel, first key, number of keys, y [keys, lanes]). Pairs that are not visible are −inf.
  template <typename Visit>
  void run(std::int64_t colBegin, std::int64_t colEnd, const Visit& visit) {
    if (used_ == 0) {
      return;
    }
    const std::int64_t begin = std::max(colBegin, panels_.front().firstKey);
    const std::int64_t end = std::min(colEnd, panels_[used_ - 1].tokens.back() + 1);
    for (std::int64_t block = begin; block < end; block += kernels_.block) {
      for (std::size_t p = 0; p < used_; ++p) {
        const std::int64_t key = std::max(block, panels_[p].firstKey);
        const std::int64_t keyEnd = std::min({block + kernels_.block, end, panels_[p].tokens.back() + 1});
        if (key < keyEnd) {
          const int count = static_cast<int>(keyEnd - key);
          compute(panels_[p], key, count);
          visit(p, key, count, static_cast<const float*>(y_.data()));
        }
      }
    }
  }

 private:
  struct Panel {
    std::int64_t firstKey = 0;         ///< that any of its rows sees
    std::vector<std::int64_t> tokens;  ///< of its rows
    std::vector<float> queries;        ///< [dim, lanes]
    std::vector<float> init;           ///< [lanes] added to the product
    std::vector<float> shift;          ///< [lanes] added after the softcap
  };

  void fill(Panel& panel, std::span<const QueryRow> rows, bool relative) const;
  void compute(const Panel& panel, std::int64_t firstKey, int count);
  void hideInvisible(const Panel& panel, std::int64_t firstKey, int count);

  LogitRule rule_;
  const float* keys_;
  const Kernels& kernels_;
  std::vector<Panel> panels_;
  std::size_t used_ = 0;  ///< of panels_
  std::vector<float> y_;  ///< [block, lanes]
};

}  // namespace headscope
