#include "core/analysis/head_scores.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <unordered_map>

#include "core/analysis/logit_rows.h"
#include "core/analysis/q_similarity.h"
#include "core/analysis/row_kernels.h"

namespace headscope {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr std::int64_t kLocal = 32;

/// Columns and distances that vertical_slash_recall counts, as masks of 0 and 1.
struct Lines {
  std::vector<double> column;            ///< [tokens]
  std::vector<double> distanceBackward;  ///< [tokens] at tokens − 1 − Δ, so that it runs forward with the key
};

/// Sets `mask` to 1 where `mass` is among the `count` largest; ties to the lower index of `order`.
void markLargest(const std::vector<double>& mass, std::vector<std::int64_t> order, std::int64_t count,
                 std::vector<double>& mask) {
  std::partial_sort(order.begin(), order.begin() + count, order.end(), [&mass](std::int64_t a, std::int64_t b) {
    const double x = mass[static_cast<std::size_t>(a)], y = mass[static_cast<std::size_t>(b)];
    return x != y ? x > y : a < b;
  });
  mask.assign(mass.size(), 0.0);
  for (std::int64_t j = 0; j < count; ++j) {
    mask[static_cast<std::size_t>(order[static_cast<std::size_t>(j)])] = 1;
  }
}

Lines probeLines(const HeadVectors& head, const VerticalSlashRule& rule, LogitRows& rows) {
  const std::int64_t tokens = head.tokens();
  const auto size = static_cast<std::size_t>(tokens);
  std::vector<double> column(size, 0.0), backward(size, 0.0);
  const std::int64_t first = std::max<std::int64_t>(1, tokens - std::max<std::int64_t>(1, rule.probeRows));
  rows.visit({first, std::max<std::int64_t>(0, tokens - first)}, [&](const AttentionRow& row) {
    rowKernels().add(row.p + row.firstKey, row.keys(), column.data() + row.firstKey);
    rowKernels().add(row.p + row.firstKey, row.keys(), backward.data() + (tokens - 1 - row.t + row.firstKey));
  });
  Lines lines;
  std::vector<std::int64_t> order(size);
  std::iota(order.begin(), order.end(), 0);
  markLargest(column, order, keptLines(rule.columnShare, tokens), lines.column);
  // Distances count from the end of the array, and a tie goes to the shorter one.
  std::vector<double> distance(backward.rbegin(), backward.rend());
  std::vector<double> mask;
  markLargest(distance, order, keptLines(rule.distanceShare, tokens), mask);
  lines.distanceBackward.assign(mask.rbegin(), mask.rend());
  return lines;
}

/// Sums over rows of what the scores are means of.
class AttentionSums {
 public:
  AttentionSums(const HeadVectors& head, const EarlierTokens& earlier, Lines lines)
      : tokens_(head.tokens()), earlier_(earlier), lines_(std::move(lines)) {}

  void add(const AttentionRow& row) {
    const std::int64_t t = row.t;
    const auto at = [&row](std::int64_t i) { return i >= row.firstKey ? row.p[i] : 0.0; };
    ++rows_;
    entropy_ += rowEntropy(row);
    sink_ += at(0);
    previous_ += at(t - 1);
    self_ += at(t);
    const std::int64_t localFirst = std::max(row.firstKey, t - kLocal + 1);
    local_ += rowKernels().sum(row.p + localFirst, t - localFirst + 1);
    distance_ += static_cast<double>(t - row.firstKey) * row.sums.mass - row.sums.position;
    recall_ += rowKernels().maskedSum(row.p + row.firstKey, lines_.column.data() + row.firstKey,
                                      lines_.distanceBackward.data() + (tokens_ - 1 - t + row.firstKey), row.keys());
    if (earlier_.known() && earlier_.previous(t) >= 0) {
      ++repeated_;
      for (std::int64_t i = earlier_.previous(t); i >= 0; i = earlier_.previous(i)) {
        duplicate_ += at(i);
        induction_ += at(i + 1);
      }
    }
  }

  static double rowEntropy(const AttentionRow& row) {
    return row.logTotal * row.sums.mass - row.sums.logit;  // −Σ p ln p with ln p = a − logTotal
  }

  void store(HeadScores& scores) const {
    const auto mean = [](double sum, std::int64_t count) {
      return count > 0 ? sum / static_cast<double>(count) : kNan;
    };
    scores[Score::Entropy] = mean(entropy_, rows_);
    scores[Score::SinkMass] = mean(sink_, rows_);
    scores[Score::PreviousToken] = mean(previous_, rows_);
    scores[Score::SelfMass] = mean(self_, rows_);
    scores[Score::DuplicateToken] = mean(duplicate_, repeated_);
    scores[Score::Induction] = mean(induction_, repeated_);
    scores[Score::LocalMass] = mean(local_, rows_);
    scores[Score::MeanDistance] = mean(distance_, rows_);
    scores[Score::VerticalSlashRecall] = mean(recall_, rows_);
  }

 private:
  std::int64_t tokens_;
  const EarlierTokens& earlier_;
  Lines lines_;
  std::int64_t rows_ = 0, repeated_ = 0;
  double entropy_ = 0, sink_ = 0, previous_ = 0, self_ = 0, duplicate_ = 0, induction_ = 0, local_ = 0, distance_ = 0,
         recall_ = 0;
};

/// Collects the curves along the axes of the map.
class CurveSums {
 public:
  CurveSums(std::int64_t tokens, RowCurves& curves) : curves_(curves), seen_(static_cast<std::size_t>(tokens), 0.0) {
    curves_.entropy.assign(seen_.size(), kNan);
    curves_.receivedMass.assign(seen_.size(), 0.0);
  }

  void add(const AttentionRow& row) {
    curves_.entropy[static_cast<std::size_t>(row.t)] = AttentionSums::rowEntropy(row);
    rowKernels().add(row.p + row.firstKey, row.keys(), curves_.receivedMass.data() + row.firstKey);
    ++seen_[static_cast<std::size_t>(row.t)];
  }

  void finish() {
    double rows = 0;
    for (std::size_t i = seen_.size(); i-- > 0;) {
      rows += seen_[i];
      curves_.receivedMass[i] = rows > 0 ? curves_.receivedMass[i] / rows : kNan;
    }
  }

 private:
  RowCurves& curves_;
  std::vector<double> seen_;
};

}  // namespace

std::int64_t keptLines(double share, std::int64_t tokens) {
  return std::clamp<std::int64_t>(static_cast<std::int64_t>(std::ceil(share * static_cast<double>(tokens))), 0, tokens);
}

EarlierTokens::EarlierTokens(std::span<const std::int64_t> ids) {
  std::unordered_map<std::int64_t, std::int64_t> last;
  previous_.reserve(ids.size());
  for (std::size_t t = 0; t < ids.size(); ++t) {
    const auto [found, fresh] = last.try_emplace(ids[t], -1);
    previous_.push_back(found->second);
    found->second = static_cast<std::int64_t>(t);
  }
}

void attentionScores(const HeadVectors& head, const EarlierTokens& earlier, const RowSample& sample,
                     const VerticalSlashRule& rule, HeadScores& scores, RowCurves* curves, const JobControl& control) {
  LogitRows rows(head);
  AttentionSums sums(head, earlier, probeLines(head, rule, rows));
  std::optional<CurveSums> curveSums;
  if (curves != nullptr) {
    curveSums.emplace(head.tokens(), *curves);
  }
  for (const RowRun& run : rowRuns(head.tokens(), sample.rows)) {
    control.checkpoint();
    rows.visit(run, [&](const AttentionRow& row) {
      if (row.t > 0) {
        sums.add(row);
      }
      if (curveSums) {
        curveSums->add(row);
      }
    });
  }
  sums.store(scores);
  if (curveSums) {
    curveSums->finish();
  }
}

void similarityScores(const HeadVectors& head, HeadScores& scores) {
  scores[Score::QSimilarityConsecutive] = meanConsecutiveCosine(queriesBeforeRope(head));
  scores[Score::QSimilarityConsecutiveRope] = meanConsecutiveCosine(queriesInDot(head));
  scores[Score::QSimilarityKv] = kvSimilarity(head);
  scores[Score::QSimilarityPrune] = pruneSimilarity(queriesBeforeRope(head));
  scores[Score::KSimilarityConsecutive] = head.keys->statistics.consecutiveCosine;
}

}  // namespace headscope
