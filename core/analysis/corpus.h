#pragma once

// Many documents: mean and spread of every figure of a report, document by document, equal weight. Nothing of a
// document is kept.

#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "core/analysis/report.h"

namespace headscope {

/// Mean and sample standard deviation (n − 1), one pass. Values that don't exist (NaN) are left out.
class Spread {
 public:
  void add(double value) {
    if (!std::isnan(value)) {
      ++count_;
      const double before = value - mean_;
      mean_ += before / static_cast<double>(count_);
      squares_ += before * (value - mean_);
    }
  }
  std::int64_t count() const noexcept { return count_; }
  double mean() const { return count_ > 0 ? mean_ : std::numeric_limits<double>::quiet_NaN(); }
  double deviation() const {
    return count_ > 1 ? std::sqrt(squares_ / static_cast<double>(count_ - 1))
                      : std::numeric_limits<double>::quiet_NaN();
  }

 private:
  std::int64_t count_ = 0;
  double mean_ = 0, squares_ = 0;
};

struct HeadSpread {
  int layer = 0, head = 0, kvHead = 0;
  std::array<Spread, kScoreCount> scores;
  std::array<Spread, kMeasureCount> measures;  ///< count 0 if not asked for
  std::array<Spread, kCaseCount> caseScores;
  std::array<int, kCaseCount> labels{};           ///< documents per label
  Spread period, periodStrength;                  ///< measured
  std::array<Spread, kStatementCount> tightness;  ///< tightness_mean of each document
  std::array<std::int64_t, kStatementCount> violations{};

  Case label() const;  ///< the most frequent label, ties to the first
};

struct LayerSpread {
  int layer = 0;
  std::vector<HeadSpread> heads;
  std::array<Spread, kScoreCount> scores;  ///< of the layer's means
  Spread blockInfluence, blockInfluenceResidual;
};

class CorpusReport {
 public:
  /// Throws Error if layers or heads differ from those of the documents before.
  void add(const Report& report);

  std::int64_t documents() const noexcept { return documents_; }
  std::int64_t tokens() const noexcept { return tokens_; }
  const std::vector<LayerSpread>& layers() const noexcept { return layers_; }

 private:
  std::int64_t documents_ = 0, tokens_ = 0;
  std::vector<LayerSpread> layers_;
};

}  // namespace headscope
