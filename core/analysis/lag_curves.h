#pragma once

// Two curves over all lags of one head, from one Fourier transform per pair of dims: the mean logit by distance, and
// how alike the logits of rows are by their distance in time.

#include <cstdint>
#include <utility>
#include <vector>

#include "core/analysis/fourier.h"
#include "core/analysis/head_vectors.h"
#include "core/base/job_control.h"

namespace headscope {

/// The dims of a head in pairs: RoPE's channels, then the unrotated dims two by two; −1 where the last stands alone.
/// Two real signals make one complex signal, and the real part of its correlation is the sum of theirs.
std::vector<std::pair<int, int>> dimPairs(const HeadVectors& head);

/// Transforms of a KV head's keys, shared by its query heads: 16 to 32 bytes · dim · tokens.
struct KeySpectra {
  std::vector<Spectrum> spectra;  ///< [pairs of dims]
  std::vector<double> variances;  ///< [pairs of dims] mean over i of |κ_i − κ̄|², κ in the dot product
};
KeySpectra keySpectra(const HeadVectors& head, std::int64_t lastTokens = 0);

struct LagCurves {
  /// [tokens] mean over t of a(t, t − Δ), before softcap and window.
  std::vector<double> logitByDistance;
  /// [tokens] autocorrelation of the queries in the dot product, each pair of dims weighted with the keys' variance
  /// there (what is the same for all keys moves no softmax); 1 at lag 0: how alike the logits of rows l apart are
  /// expected to be.
  std::vector<double> queryCorrelation;
  /// Expected variance of a row's logits over its keys. That of the change from row t to t + l is 2 (1 −
  /// correlation(l)) times this.
  double rowVariance = 0;
};

/// O(dim · tokens · log tokens). `keys`: as keySpectra gave them for the head's KV head and the same `lastTokens`, or
/// null. With `lastTokens` above 0 only the end of a longer text is looked at, and the curves are that long: an
/// estimate.
LagCurves lagCurves(const HeadVectors& head, const KeySpectra* keys = nullptr, const JobControl& control = {},
                    std::int64_t lastTokens = 0);

}  // namespace headscope
