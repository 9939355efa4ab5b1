#pragma once

// What q, k and RoPE alone predict about a head's case, without computing a logit of any pair. Inside core/analysis
// only.
//
// A logit has a part that depends on the distance alone (mean query, mean key: RopeLens::predictedByDistance), a part
// that depends on the key alone (mean rotated query, key less its mean), and the rest. The first two make predicted
// rows, which are looked at like measured ones. The rest changes over time; two softmaxes whose logits differ by a
// normal variable of variance s² share 2Φ(−s/2) of their mass, which is what remains of the rows' agreement:
//   column:    s² = σ² Σ_m V_m (A_m(0) − A_m(l)), A the autocorrelation of the rotated queries less their mean, V the
//              variance of the rotated keys
//   diagonal:  s² = σ² Σ_m (V_m (B_m(0) − B_m(l)) + B_m(0) (C_m(0) − C_m(l))), B, C those of q and k before RoPE, less
//   their
//              means

#include <cstdint>
#include <vector>

#include "core/analysis/cases.h"

namespace headscope {

/// The lag at which rows come back: the local maximum that rises most above what lies before it, 2 ≤ L ≤ lags / 3; 0 if
/// none.
std::int64_t prominentLag(const std::vector<double>& correlationByLag);

CaseEvidence predictedEvidence(const HeadVectors& head, const RopeLens& lens, const JobControl& control);

}  // namespace headscope
