#pragma once

// The joint effect of q, k and RoPE for one head (TAPPA, tappa.md 3): how strong each channel is, what logit the
// means of q and k predict at each distance, and what is measured.

#include <cstdint>
#include <optional>
#include <vector>

#include "core/analysis/head_vectors.h"
#include "core/analysis/lag_curves.h"
#include "core/base/job_control.h"

namespace headscope {

struct RopeChannel {
  int m = 0;
  double invFreq = 0;     ///< radians per token
  double wavelength = 0;  ///< tokens: 2π / invFreq; infinite where invFreq is 0
  double strength = 0;    ///< E_m = mean over t of |q^m| · mean over i of |k^m|, before RoPE
  double share = 0;       ///< E_m / Σ E
};

/// A peak of the autocorrelation of the mean logit by distance.
struct MeasuredPeriod {
  double tokens = 0;
  double strength = 0;  ///< autocorrelation at the peak; random heads stay below 0.5, periodic ones exceed 0.8
};

struct RopeSpectrum {
  std::vector<RopeChannel> channels;      ///< empty in a layer without RoPE
  std::optional<int> dominant;            ///< m*: the largest share; none if nothing rotates or all is 0
  std::optional<double> dominance;        ///< its share against the next; none with one channel, or if the next is 0
  std::optional<double> predictedPeriod;  ///< 2π / inv_freq of m*, tokens; none where that is infinite
};

struct RopeLens {
  RopeSpectrum spectrum;
  /// [tokens] g(Δ) = scale · (Σ_m Re(mean[q^m] conj(mean[k^m]) e^{iΔθ_m}) + unrotated dims), means over all positions.
  std::vector<double> predictedByDistance;
  /// [tokens] mean over t of a(t, t − Δ), before softcap and window.
  std::vector<double> measuredByDistance;
  std::optional<MeasuredPeriod> measuredPeriod;  ///< none: no peak (reported as null with strength 0)
  /// [tokens] how alike rows l apart are expected to be (LagCurves::queryCorrelation).
  std::vector<double> queryCorrelationByLag;
  double rowVariance = 0;  ///< expected variance of a row's logits over its keys (LagCurves::rowVariance)
};

RopeSpectrum ropeSpectrum(const HeadVectors& head);
std::vector<double> predictedLogitByDistance(const HeadVectors& head);
/// The rule of tappa/README.md: first half of the distances, less a straight-line fit; r(l) = mean of z(d)z(d+l) over
/// mean z²; the largest local maximum for 2 ≤ l ≤ n/2, the shortest peak above 0.9 of it, refined by a parabola.
std::optional<MeasuredPeriod> measurePeriod(const std::vector<double>& logitByDistance);

/// All of it, in O(dim · tokens · log tokens). Interventions are those that `head` was made with. `keys`, `lastTokens`:
/// lag_curves.h.
RopeLens ropeLens(const HeadVectors& head, const JobControl& control = {}, const KeySpectra* keys = nullptr,
                  std::int64_t lastTokens = 0);

}  // namespace headscope
