#include "core/analysis/cases.h"

#include <algorithm>
#include <cmath>

#include "core/analysis/case_prediction.h"
#include "core/analysis/logit_rows.h"

namespace headscope {
namespace {

constexpr std::int64_t kFewestTokens = 8;

/// Probability rows around one anchor, each computed once.
class AnchorRows {
 public:
  AnchorRows(const HeadVectors& head, std::int64_t anchor) : rows_(head), anchor_(anchor) {
    rows_.probabilities(anchor, base_);
  }

  /// Rows anchor and anchor + lag at the same keys.
  double column(std::int64_t lag) {
    rows_.probabilities(anchor_ + lag, other_);
    return agreement(other_.data());
  }
  /// The same row against keys moved by `lag`; call after column(lag).
  double diagonal(std::int64_t lag) const { return agreement(other_.data() + lag); }

 private:
  /// Shared mass beyond chance; chance = the mean over four rotations of one row along the keys.
  double agreement(const double* other) const {
    const auto n = static_cast<std::int64_t>(base_.size());
    const RowKernels& kernels = rowKernels();
    const double shared = kernels.overlap(base_.data(), other, n);
    double chance = 0;
    constexpr std::array<double, 4> kTurns{0.2360679775, 0.3819660113, 0.6180339887, 0.8541019662};
    for (const double turn : kTurns) {
      const std::int64_t shift = std::clamp<std::int64_t>(std::llround(turn * static_cast<double>(n)), 1, n - 1);
      chance += kernels.overlap(base_.data(), other + shift, n - shift) +
                kernels.overlap(base_.data() + n - shift, other, shift);
    }
    chance /= static_cast<double>(kTurns.size());
    return chance < 1 ? (shared - chance) / (1 - chance) : 0;
  }

  LogitRows rows_;
  std::int64_t anchor_;
  std::vector<double> base_, other_;
};

struct Lags {
  std::int64_t first = 0, second = 0;  ///< the two longer lags
};

Lags longLags(std::int64_t tokens) {
  return {std::clamp<std::int64_t>(tokens / 13, 2, 11), std::clamp<std::int64_t>(tokens / 8, 3, 18)};
}

double clipped(double x) {
  return std::clamp(x, 0.0, 1.0);
}

CaseEvidence measuredEvidence(const HeadVectors& head, std::int64_t season, const CaseOptions& options,
                              const JobControl& control) {
  const std::int64_t tokens = head.tokens();
  const Lags lags = longLags(tokens);
  const std::int64_t reach = std::max({lags.first, lags.second, season});
  const std::int64_t begin = std::max<std::int64_t>(2, tokens / 8);
  const std::int64_t places = std::max<std::int64_t>(1, tokens - reach - begin);
  const std::int64_t anchors = std::clamp<std::int64_t>(options.anchors, 1, places);
  CaseEvidence sum;
  double first[2]{}, second[2]{};
  for (std::int64_t j = 0; j < anchors; ++j) {
    control.checkpoint();
    AnchorRows rows(head, begin + places * (2 * j + 1) / (2 * anchors));
    sum.columnStep += rows.column(1);
    sum.diagonalStep += rows.diagonal(1);
    first[0] += rows.column(lags.first);
    first[1] += rows.diagonal(lags.first);
    second[0] += rows.column(lags.second);
    second[1] += rows.diagonal(lags.second);
    if (season > 0) {
      sum.seasonRows += rows.column(season);
      sum.seasonBetween += rows.column(season / 2);
    }
  }
  const auto mean = [anchors](double x) { return clipped(x / static_cast<double>(anchors)); };
  CaseEvidence evidence;
  evidence.columnStep = mean(sum.columnStep);
  evidence.diagonalStep = mean(sum.diagonalStep);
  evidence.columnLong = mean(std::min(first[0], second[0]));
  evidence.diagonalLong = mean(std::min(first[1], second[1]));
  evidence.seasonRows = mean(sum.seasonRows);
  evidence.seasonBetween = mean(sum.seasonBetween);
  evidence.season = season;
  return evidence;
}

}  // namespace

std::string_view caseKey(Case value) {
  constexpr std::array<std::string_view, kCaseCount> kKeys{"re_access", "sequential", "periodic_sequential", "seasonal",
                                                           "unpredictable"};
  return kKeys[static_cast<std::size_t>(value)];
}

std::string_view caseLabel(Case value) {
  constexpr std::array<std::string_view, kCaseCount> kLabels{"re-access (sinks, columns)", "sequential (diagonals)",
                                                             "periodic sequential (repeated diagonals)",
                                                             "seasonal (rows come back)", "unpredictable (retrieval)"};
  return kLabels[static_cast<std::size_t>(value)];
}

CaseScores caseScores(const CaseEvidence& evidence, const CaseThresholds& thresholds) {
  const double column = std::sqrt(evidence.columnStep * evidence.columnLong);
  const double diagonal = std::sqrt(evidence.diagonalStep * evidence.diagonalLong);
  const double width = std::max(thresholds.periodWidth, 1e-6);
  const double periodic = 1 / (1 + std::exp((thresholds.periodStrength - evidence.periodStrength) / width));
  CaseScores scores{};
  scores[static_cast<std::size_t>(Case::ReAccess)] = column;
  scores[static_cast<std::size_t>(Case::Sequential)] = diagonal * (1 - periodic);
  scores[static_cast<std::size_t>(Case::PeriodicSequential)] = diagonal * periodic;
  scores[static_cast<std::size_t>(Case::Seasonal)] =
      evidence.seasonRows * (1 - evidence.seasonBetween) * (1 - diagonal);
  scores[static_cast<std::size_t>(Case::Unpredictable)] = 1 - *std::max_element(scores.begin(), scores.end() - 1);
  return scores;
}

Case caseFrom(const CaseScores& scores, const CaseThresholds& thresholds) {
  const auto best = std::max_element(scores.begin(), scores.end() - 1);
  return *best < thresholds.predictable ? Case::Unpredictable : static_cast<Case>(best - scores.begin());
}

CaseResult classify(const HeadVectors& head, const RopeLens& lens, const CaseOptions& options,
                    const JobControl& control) {
  CaseResult result;
  if (head.tokens() >= kFewestTokens) {
    result.predictedEvidence = predictedEvidence(head, lens.predictedByDistance, longLags(head.tokens()).first,
                                                 longLags(head.tokens()).second);
    result.evidence = measuredEvidence(head, result.predictedEvidence.season, options, control);
    result.evidence.periodStrength = lens.measuredPeriod ? lens.measuredPeriod->strength : 0;
  }
  result.scores = caseScores(result.evidence, options.thresholds);
  result.label = caseFrom(result.scores, options.thresholds);
  result.predicted = caseScores(result.predictedEvidence, options.thresholds);
  result.predictedLabel = caseFrom(result.predicted, options.thresholds);
  return result;
}

}  // namespace headscope
