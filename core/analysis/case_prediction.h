#pragma once

// What q, k and RoPE alone predict about a head's case, without computing a logit of any pair. Inside core/analysis
// only.
//
// A logit has a part that depends on the distance alone (mean query, mean key: RopeLens::predictedByDistance), a part
// that depends on the key alone (mean rotated query, key less its mean), and the rest, which is taken as a normal
// variable of variance r² whose correlation over time is known. Rows are drawn from that and looked at like measured
// ones.
//   r² = σ² Σ_m V_m A_m(0) / 2, A the autocorrelation of the rotated queries less their mean, V the variance of the
//   rotated keys at the same keys, l later:  correlation Σ_m V_m A_m(l) / Σ_m V_m A_m(0) at keys moved by l:         1
//   − Σ_m (V_m (B_m(0) − B_m(l)) + B_m(0) (C_m(0) − C_m(l))) / Σ_m V_m A_m(0), B, C the
//                               autocorrelations of q and k before RoPE, less their means

#include <cstdint>
#include <vector>

#include "core/analysis/cases.h"

namespace headscope {

/// The lag at which rows come back: the local maximum that rises most above what lies before it, 2 ≤ L ≤ lags / 3; 0 if
/// none.
std::int64_t prominentLag(const std::vector<double>& correlationByLag);

constexpr std::int64_t kPredictionAnchors = 6;  ///< places looked at

/// [2 · tokens] the normal variables that rows are drawn from, the same for every head of a text.
std::vector<double> predictionNoise(std::int64_t tokens);

CaseEvidence predictedEvidence(const HeadVectors& head, const RopeLens& lens, const JobControl& control);

}  // namespace headscope
