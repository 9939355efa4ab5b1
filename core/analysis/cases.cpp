#include "core/analysis/cases.h"

#include <algorithm>
#include <cmath>

#include "core/analysis/case_prediction.h"
#include "core/analysis/logit_rows.h"
#include "core/analysis/row_agreement.h"

namespace headscope {
namespace {

constexpr std::int64_t kFewestTokens = 8;

/// Probability rows around one anchor.
class AnchorRows {
 public:
  AnchorRows(const HeadVectors& head, std::int64_t anchor) : rows_(head), anchor_(anchor) {
    rows_.probabilities(anchor, base_);
  }

  /// Rows anchor and anchor + lag at the same keys.
  double column(std::int64_t lag) {
    rows_.probabilities(anchor_ + lag, other_);
    return rowAgreement(base_, {other_.data(), base_.size()}, lag);
  }
  /// The same rows with keys moved by `lag`; call after column(lag).
  double diagonal(std::int64_t lag) const { return rowAgreement(base_, {other_.data() + lag, base_.size()}, lag); }
  /// The row against itself moved by `lag` keys.
  double echo(std::int64_t lag) const { return rowEcho(base_, lag); }

 private:
  LogitRows rows_;
  std::int64_t anchor_;
  std::vector<double> base_, other_;
};

/// Running mean.
class Mean {
 public:
  void add(double x) {
    sum_ += x;
    ++count_;
  }
  double clipped() const { return count_ > 0 ? std::clamp(sum_ / count_, 0.0, 1.0) : 0; }

 private:
  double sum_ = 0;
  int count_ = 0;
};

/// Where to look: `count` rows spread evenly over those that have `reach` rows after them and, if possible, before
/// them.
std::vector<std::int64_t> anchorRows(std::int64_t tokens, std::int64_t reach, std::int64_t count) {
  const std::int64_t last = std::max<std::int64_t>(2, tokens - reach - 1);
  const std::int64_t begin = std::clamp<std::int64_t>(std::max(tokens / 8, reach), 2, last);
  const std::int64_t places = std::max<std::int64_t>(1, tokens - reach - begin);
  const std::int64_t wanted = std::clamp<std::int64_t>(count, 1, places);
  std::vector<std::int64_t> anchors;
  for (std::int64_t j = 0; j < wanted; ++j) {
    anchors.push_back(begin + places * (2 * j + 1) / (2 * wanted));
  }
  return anchors;
}

CaseEvidence measuredEvidence(const HeadVectors& head, std::int64_t season, std::optional<MeasuredPeriod> period,
                              std::int64_t count, const JobControl& control) {
  const CaseLags lags = caseLags(head.tokens());
  const std::int64_t periods = wholePeriods(period, head.tokens());
  Mean columnStep, diagonalStep, columnFirst, diagonalFirst, columnSecond, diagonalSecond, rowsBack, between, echo;
  for (const std::int64_t anchor : anchorRows(head.tokens(), std::max({lags.first, lags.second, season}), count)) {
    control.checkpoint();
    AnchorRows rows(head, anchor);
    columnStep.add(rows.column(1));
    diagonalStep.add(rows.diagonal(1));
    columnFirst.add(rows.column(lags.first));
    diagonalFirst.add(rows.diagonal(lags.first));
    columnSecond.add(rows.column(lags.second));
    diagonalSecond.add(rows.diagonal(lags.second));
    if (season > 0) {
      rowsBack.add(rows.column(season));
      between.add(rows.column(season / 2));
    }
    if (periods > 0 && anchor >= 2 * periods) {
      echo.add(rows.echo(periods));
    }
  }
  CaseEvidence evidence;
  evidence.columnStep = columnStep.clipped();
  evidence.columnLong = std::min(columnFirst.clipped(), columnSecond.clipped());
  evidence.diagonalStep = diagonalStep.clipped();
  evidence.diagonalLong = std::min(diagonalFirst.clipped(), diagonalSecond.clipped());
  evidence.seasonRows = rowsBack.clipped();
  evidence.seasonBetween = between.clipped();
  evidence.season = season;
  evidence.periodStrength = period ? std::min(period->strength, 1.0) : 0;
  evidence.echo = echo.clipped();
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
  const auto step = [&thresholds](double x, double threshold) {
    return 1 / (1 + std::exp((threshold - x) / std::max(thresholds.width, 1e-6)));
  };
  const double periodic =
      step(evidence.periodStrength, thresholds.periodStrength) * step(evidence.echo, thresholds.echo);
  CaseScores scores{};
  scores[static_cast<std::size_t>(Case::ReAccess)] = column;
  scores[static_cast<std::size_t>(Case::Sequential)] = diagonal * (1 - periodic);
  scores[static_cast<std::size_t>(Case::PeriodicSequential)] = diagonal * periodic;
  scores[static_cast<std::size_t>(Case::Seasonal)] =
      evidence.seasonRows * (1 - std::min(evidence.columnStep, evidence.seasonBetween)) * (1 - diagonal);
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
    result.predictedEvidence = predictedEvidence(head, lens);
    result.evidence =
        measuredEvidence(head, result.predictedEvidence.season, lens.measuredPeriod, options.anchors, control);
  }
  result.scores = caseScores(result.evidence, options.thresholds);
  result.label = caseFrom(result.scores, options.thresholds);
  result.predicted = caseScores(result.predictedEvidence, options.thresholds);
  result.predictedLabel = caseFrom(result.predicted, options.thresholds);
  return result;
}

}  // namespace headscope
