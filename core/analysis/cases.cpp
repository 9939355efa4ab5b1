#include "core/analysis/cases.h"

#include <algorithm>
#include <cmath>

#include "core/analysis/case_evidence.h"
#include "core/analysis/case_prediction.h"
#include "core/analysis/logit_rows.h"

namespace headscope {
namespace {

constexpr std::int64_t kFewestTokens = 8;

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

void applyThresholds(CaseResult& result, const CaseThresholds& thresholds) {
  result.scores = caseScores(result.evidence, thresholds);
  result.label = caseFrom(result.scores, thresholds);
  result.predicted = caseScores(result.predictedEvidence, thresholds);
  result.predictedLabel = caseFrom(result.predicted, thresholds);
}

CaseResult classify(const HeadVectors& head, const RopeLens& lens, const CaseOptions& options,
                    const JobControl& control) {
  CaseResult result;
  if (head.tokens() >= kFewestTokens) {
    result.predictedEvidence = predictedEvidence(head, lens, control);
    LogitRows rows(head);
    const RowSource source{
        [&rows](std::int64_t t, std::vector<double>& p) { rows.probabilities(t, p); },
        [&rows](std::int64_t t, std::int64_t lag, std::vector<double>& p) { rows.probabilities(t + lag, p); },
        {}};
    result.evidence = evidenceFromRows(source, head.tokens(), result.predictedEvidence.season, lens.measuredPeriod,
                                       options.anchors, control);
  }
  applyThresholds(result, options.thresholds);
  return result;
}

}  // namespace headscope
