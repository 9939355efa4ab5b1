#pragma once

// Which of TAPPA's cases a head shows (tappa.md 2), as five continuous scores from the attention itself, and beside
// them what q, k and RoPE predict. The label follows from scores and thresholds; a head can show several cases.
//
// Measured. Two rows agree by the mass that they share, Σ_i min(p, p'), beyond what two shuffled rows would share
// (chance-corrected as Cohen's kappa: 0 = chance, 1 = the same row):
//   column(l)  row t against row t + l at the same keys             → how stable columns are over time
//   diagonal   row t against row t + 1 at keys moved by one         → how stable diagonals are
// re_access = columns stable from step to step and over longer lags; sequential and periodic_sequential share the
// stability of the diagonals, split by the strength of the measured period; seasonal = rows come back after L tokens
// but not in between; unpredictable = 1 − the largest of these. Formulas in definitions and resources/help/cases.md.

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
  double predictable = 0.5;     ///< a head whose best case scores less is unpredictable
  double periodStrength = 0.8;  ///< autocorrelation at which half of a stable diagonal counts as periodic
  double periodWidth = 0.05;    ///< how fast that turns from 0 to 1
};

/// What the scores are made from, kept so that thresholds can change without touching the attention again.
struct CaseEvidence {
  double columnStep = 0;     ///< column(1), 0 … 1
  double columnLong = 0;     ///< column over longer lags, 0 … 1
  double diagonalStep = 0;   ///< 0 … 1
  double seasonRows = 0;     ///< column(L) at the best season, 0 … 1
  double seasonBetween = 0;  ///< column(L/2), 0 … 1
  std::int64_t season = 0;   ///< L in tokens; 0: none
  double periodStrength = 0;
  std::int64_t rows = 0;  ///< anchor rows looked at
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
  std::int64_t anchors = 96;  ///< rows looked at, spread evenly; fewer = faster, noisier
};

CaseResult classify(const HeadVectors& head, const RopeLens& lens, const CaseOptions& options = {},
                    const JobControl& control = {});

/// Cheap: thresholds moved, evidence stays.
CaseScores caseScores(const CaseEvidence& evidence, const CaseThresholds& thresholds);
Case caseFrom(const CaseScores& scores, const CaseThresholds& thresholds);

}  // namespace headscope
