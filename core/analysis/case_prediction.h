#pragma once

// What q, k and RoPE alone predict about a head's case: the quantities of CaseEvidence from autocorrelations, without
// looking at a single row of attention. Inside core/analysis only.

#include <cstdint>
#include <vector>

#include "core/analysis/cases.h"

namespace headscope {

/// How alike logits are expected to be when rows and keys both move by a lag, 0 … 1, for each lag:
/// Σ_m Re(Aq_m(l) conj(Ak_m(l))) / Σ_m Aq_m(0) Ak_m(0), A the complex
/// autocorrelation of a channel before RoPE.
std::vector<double> diagonalCorrelations(const HeadVectors& head, const std::vector<std::int64_t>& lags);

/// The lag at which rows come back: the local maximum that rises most above what lies before it, 2 ≤ L ≤ lags / 3; 0 if
/// none.
std::int64_t prominentLag(const std::vector<double>& correlationByLag);

/// The two longer lags at which columns and diagonals are looked at.
struct CaseLags {
  std::int64_t first = 0, second = 0;
};
CaseLags caseLags(std::int64_t tokens);

/// The whole number of tokens closest to 1, 2, 3 or 4 periods, within a third of the text; 0: none.
std::int64_t wholePeriods(std::optional<MeasuredPeriod> period, std::int64_t tokens);

CaseEvidence predictedEvidence(const HeadVectors& head, const RopeLens& lens);

}  // namespace headscope
