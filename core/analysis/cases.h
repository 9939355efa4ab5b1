#pragma once

// Which of TAPPA's cases a head shows (tappa.md 2), as five continuous scores from the attention itself, and beside
// them what q, k and RoPE predict. The label follows from scores and thresholds; a head can show several cases.
//
// Measured. Two rows agree by the mass that they share, Σ_i min(p, p'), beyond what they share by chance, which is what
// they share when one is moved along the keys (corrected as Cohen's kappa: 0 = chance, 1 = the same row):
//   column(l)    row t against row t + l at the same keys: how stable columns are over l steps
//   diagonal(l)  row t against row t + l at keys moved by l: how stable diagonals are over l steps
//   echo         row t against itself moved by a whole number of measured periods: whether diagonals repeat
// With C = √(column(1) · column(long)), D = √(diagonal(1) · diagonal(long)), and π = step(strength of the period of the
// mean logit by distance) · step(echo), step(x) = 1 / (1 + exp((threshold − x) / width)):
//   re_access = C    sequential = D (1 − π)    periodic_sequential = D π
//   seasonal = column(L) · (1 − min(column(1), column(L/2))) · (1 − D)    unpredictable = 1 − the largest of these four
// Predicted. The same formulas on rows that means and variances of q and k give under RoPE, without a logit of any
// pair: see case_prediction.h.

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "core/analysis/head_vectors.h"
#include "core/analysis/rope_lens.h"
#include "core/base/job_control.h"

namespace headscope {

enum class Case { ReAccess, Sequential, PeriodicSequential, Seasonal, Unpredictable };
constexpr std::size_t kCaseCount = 5;
std::string_view caseKey(Case value);    ///< "re_access"
std::string_view caseLabel(Case value);  ///< "re-access (sinks, columns)" for people

using CaseScores = std::array<double, kCaseCount>;  ///< each 0 … 1, indexed by Case

/// All adjustable in the window; the label follows.
struct CaseThresholds {
  double predictable = 0.5;  ///< a head whose best case scores less is labelled unpredictable
  double periodStrength =
      0.8;              ///< autocorrelation of the mean logit by distance from which diagonals may count as periodic
  double echo = 0.3;    ///< how much of a row must come back one period on for diagonals to count as periodic
  double width = 0.05;  ///< how fast these two turn from no to yes
  bool operator==(const CaseThresholds&) const = default;
};

/// What the scores are made from, kept so that thresholds can change without touching the attention again.
struct CaseEvidence {
  double columnStep = 0;      ///< column(1), 0 … 1
  double columnLong = 0;      ///< the lower of column at two longer lags
  double diagonalStep = 0;    ///< diagonal(1)
  double diagonalLong = 0;    ///< the lower of diagonal at the two longer lags
  double seasonRows = 0;      ///< column(L) at the season
  double seasonBetween = 0;   ///< column(L/2)
  std::int64_t season = 0;    ///< L in tokens, from queries after RoPE; 0: none
  double periodStrength = 0;  ///< of the (measured or predicted) period by distance
  double echo = 0;            ///< row t against itself moved by whole periods
};

struct CaseResult {
  Case label = Case::Unpredictable;
  CaseScores scores{};
  CaseEvidence evidence;
  Case predictedLabel = Case::Unpredictable;  ///< from q, k and RoPE alone
  CaseScores predicted{};
  CaseEvidence predictedEvidence;  ///< the same quantities as q, k and RoPE predict them
};

struct CaseOptions {
  CaseThresholds thresholds;
  std::int64_t anchors = 48;  ///< places looked at, spread evenly; each costs up to seven rows. Fewer = faster, noisier
};

CaseResult classify(const HeadVectors& head, const RopeLens& lens, const CaseOptions& options = {},
                    const JobControl& control = {});

/// Cheap: thresholds moved, evidence stays.
CaseScores caseScores(const CaseEvidence& evidence, const CaseThresholds& thresholds);
Case caseFrom(const CaseScores& scores, const CaseThresholds& thresholds);
/// Scores and labels of a result, measured and predicted, from its evidence.
void applyThresholds(CaseResult& result, const CaseThresholds& thresholds);

}  // namespace headscope
