#pragma once

// The inner part of pooling: what one panel of query rows leaves in each cell. Inside core/maps only.

#include <algorithm>
#include <cstdint>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include "core/maps/pooling.h"

namespace headscope {

constexpr float kHidden = -std::numeric_limits<float>::infinity();

// Values of some cell rows: those of the whole grid, or a part that is merged later.
struct Target {
  float* max = nullptr;
  float* sum = nullptr;
  float* logit = nullptr;
  std::int64_t width = 0;

  Target row(std::int64_t y) const {
    const std::int64_t offset = y * width;
    return {max + offset, sum != nullptr ? sum + offset : nullptr, logit != nullptr ? logit + offset : nullptr, width};
  }
};

// Pools one panel: the running values of each lane, handed on when a cell ends. Where all lanes belong to one cell row
// they are reduced at once; otherwise they are kept for some cells and then added row by row, in the order of memory.
class PanelPooler {
 public:
  // rows[i] belongs to cell row cellRows[i] of the target.
  PanelPooler(const Kernels& set, const CellGrid& grid, const PoolOptions& options, std::span<const QueryRow> rows,
              std::span<const std::int64_t> cellRows, const Target& target)
      : kernels_(set),
        grid_(grid),
        options_(options),
        lanes_(static_cast<std::size_t>(set.lanes)),
        oneRow_(cellRows.front() == cellRows.back()),
        max_((oneRow_ ? 1 : kKept) * lanes_),
        sum_(max_.size()),
        normalizers_(lanes_),
        cellRows_(cellRows),
        target_(target) {
    std::transform(rows.begin(), rows.end(), normalizers_.begin(),
                   [](const QueryRow& row) { return toBase2(row.normalizer); });
    reset();
  }

  void visit(std::int64_t key, int count, const float* y) {
    if (cell_ < 0) {  // the first block may begin in any cell
      cell_ = std::upper_bound(grid_.cols.begin(), grid_.cols.end(), key) - grid_.cols.begin() - 1;
      firstKept_ = cell_;
    }
    while (count > 0) {
      const std::int64_t cellEnd = grid_.cols[static_cast<std::size_t>(cell_ + 1)];
      const int part = static_cast<int>(std::min<std::int64_t>(count, cellEnd - key));
      if (part > 0) {
        if (options_.sum) {
          kernels_.maxAndSum(y, part, max(), sum());
        } else {
          kernels_.maxOnly(y, part, max());
        }
        pending_ = true;
      }
      key += part;
      count -= part;
      y += part * kernels_.lanes;
      if (key == cellEnd) {
        endCell();
      }
    }
  }

  void finish() {
    if (pending_) {
      endCell();
    }
    handOn();
  }

 private:
  static constexpr std::size_t kKept = 32;  ///< cells

  float* max() { return max_.data() + kept_ * lanes_; }
  float* sum() { return sum_.data() + kept_ * lanes_; }

  void reset() {
    std::fill_n(max(), lanes_, kHidden);
    std::fill_n(sum(), lanes_, 0.0f);
  }

  void endCell() {
    if (oneRow_) {
      reduce();
    } else if (++kept_ == kKept) {
      handOn();
    }
    ++cell_;
    pending_ = false;
    reset();
  }

  void reduce() {
    const Target at = target_.row(cellRows_.front());
    at.max[cell_] = std::max(at.max[cell_], kernels_.largest(max()));
    if (at.sum != nullptr) {
      at.sum[cell_] += kernels_.total(sum());
    }
    if (at.logit != nullptr) {  // in one lane the row's divisor is the same for all keys
      at.logit[cell_] = std::max(at.logit[cell_], toBaseE(kernels_.largestOfSum(max(), normalizers_.data())));
    }
  }

  void handOn() {
    const std::size_t cells = std::exchange(kept_, 0);
    for (std::size_t lane = 0; lane < cellRows_.size() && cells > 0; ++lane) {
      const Target at = target_.row(cellRows_[lane]);
      const float* lanesMax = max_.data() + lane;
      const float* lanesSum = sum_.data() + lane;
      for (std::size_t i = 0; i < cells; ++i) {
        float& largest = at.max[firstKept_ + static_cast<std::int64_t>(i)];
        largest = std::max(largest, lanesMax[i * lanes_]);
      }
      for (std::size_t i = 0; i < cells && at.sum != nullptr; ++i) {
        at.sum[firstKept_ + static_cast<std::int64_t>(i)] += lanesSum[i * lanes_];
      }
      for (std::size_t i = 0; i < cells && at.logit != nullptr; ++i) {
        float& largest = at.logit[firstKept_ + static_cast<std::int64_t>(i)];
        largest = std::max(largest, toBaseE(lanesMax[i * lanes_] + normalizers_[lane]));
      }
    }
    firstKept_ += static_cast<std::int64_t>(cells);
  }

  const Kernels& kernels_;
  const CellGrid& grid_;
  const PoolOptions& options_;
  std::size_t lanes_;
  bool oneRow_;
  std::vector<float> max_, sum_;    ///< [kept cells, lanes]; the one at hand is the last
  std::vector<float> normalizers_;  ///< [lanes] in base 2
  std::span<const std::int64_t> cellRows_;
  Target target_;
  std::int64_t cell_ = -1;      ///< at hand
  std::int64_t firstKept_ = 0;  ///< cell of max_[0]
  std::size_t kept_ = 0;        ///< complete cells in max_ and sum_
  bool pending_ = false;        ///< the cell at hand has values
};

}  // namespace headscope
