#include "core/analysis/lag_curves.h"

#include <algorithm>

#include "core/analysis/row_kernels.h"

namespace headscope {
namespace {

std::int64_t tokensLookedAt(const HeadVectors& head, std::int64_t lastTokens) {
  return lastTokens > 0 ? std::min(lastTokens, head.tokens()) : head.tokens();
}

/// One pair of dims of [tokens, dim] rows into a signal that is zero beyond them.
void loadPair(const double* rows, std::int64_t tokens, int dim, std::pair<int, int> pair, Spectrum& signal) {
  std::fill(signal.re.begin() + tokens, signal.re.end(), 0.0);
  std::fill(signal.im.begin() + (pair.second < 0 ? 0 : tokens), signal.im.end(), 0.0);
  const double* row = rows;
  for (std::int64_t t = 0; t < tokens; ++t, row += dim) {
    signal.re[static_cast<std::size_t>(t)] = row[pair.first];
  }
  row = rows;
  for (std::int64_t t = 0; pair.second >= 0 && t < tokens; ++t, row += dim) {
    signal.im[static_cast<std::size_t>(t)] = row[pair.second];
  }
}

/// Mean of |κ − κ̄|² in one pair of dims.
double variance(const double* rows, std::int64_t tokens, int dim, std::pair<int, int> pair) {
  double sumX = 0, sumY = 0, squares = 0;
  const double* row = rows;
  for (std::int64_t t = 0; t < tokens; ++t, row += dim) {
    const double x = row[pair.first] - rows[pair.first];  // less the first: a common offset must not eat digits
    const double y = pair.second >= 0 ? row[pair.second] - rows[pair.second] : 0;
    sumX += x;
    sumY += y;
    squares += x * x + y * y;
  }
  const auto n = static_cast<double>(tokens);
  return std::max(0.0, squares / n - (sumX * sumX + sumY * sumY) / (n * n));
}

/// What is added up over the pairs, in frequencies.
struct Products {
  Spectrum cross;             ///< Σ Q conj(K)
  std::vector<double> power;  ///< Σ weight · |Q|²

  void add(const Spectrum& q, const Spectrum& k, double weight) {
    rowKernels().crossPower(q.re.data(), q.im.data(), k.re.data(), k.im.data(), weight,
                            static_cast<std::int64_t>(power.size()), cross.re.data(), cross.im.data(), power.data());
  }
};

}  // namespace

std::vector<std::pair<int, int>> dimPairs(const HeadVectors& head) {
  std::vector<std::pair<int, int>> pairs;
  int next = 0;
  if (head.frame->rope) {
    for (int m = 0; m < head.frame->rope->channels(); ++m) {
      pairs.emplace_back(head.frame->rope->first(m), head.frame->rope->second(m));
    }
    next = head.frame->rope->rotaryDims;
  }
  for (; next < head.dim; next += 2) {
    pairs.emplace_back(next, next + 1 < head.dim ? next + 1 : -1);
  }
  return pairs;
}

KeySpectra keySpectra(const HeadVectors& head, std::int64_t lastTokens) {
  const std::int64_t tokens = tokensLookedAt(head, lastTokens);
  const double* rows = head.keys->dotK.data() + (head.tokens() - tokens) * head.dim;
  KeySpectra keys;
  Fourier& fourier = Fourier::ofLength(2 * tokens);
  for (const auto& pair : dimPairs(head)) {
    keys.spectra.push_back(fourier.zeros());
    keys.variances.push_back(variance(rows, tokens, head.dim, pair));
    loadPair(rows, tokens, head.dim, pair, keys.spectra.back());
    fourier.forward(keys.spectra.back());
  }
  return keys;
}

LagCurves lagCurves(const HeadVectors& head, const KeySpectra* keys, const JobControl& control,
                    std::int64_t lastTokens) {
  const std::int64_t tokens = tokensLookedAt(head, lastTokens);
  const std::int64_t skipped = (head.tokens() - tokens) * head.dim;
  const double* ownKeys = head.keys->dotK.data() + skipped;
  Fourier& fourier = Fourier::ofLength(2 * tokens);
  Spectrum q = fourier.zeros(), own = fourier.zeros();
  Products products{fourier.zeros(), std::vector<double>(q.re.size(), 0.0)};
  const auto pairs = dimPairs(head);
  for (std::size_t j = 0; j < pairs.size(); ++j) {
    control.checkpoint();
    loadPair(head.dotQ.data() + skipped, tokens, head.dim, pairs[j], q);
    fourier.forward(q);
    if (keys != nullptr) {
      products.add(q, keys->spectra[j], keys->variances[j]);
      continue;
    }
    loadPair(ownKeys, tokens, head.dim, pairs[j], own);
    fourier.forward(own);
    products.add(q, own, variance(ownKeys, tokens, head.dim, pairs[j]));
  }
  Spectrum power{std::move(products.power), std::vector<double>(q.re.size(), 0.0)};
  fourier.backward(products.cross);
  fourier.backward(power);
  LagCurves curves;
  const auto length = static_cast<double>(fourier.length());
  const double zero = power.re[0] / static_cast<double>(tokens);
  // A row's logits over its keys: Re(ρ conj(κ − κ̄)) in each pair has half the product of the mean squares.
  curves.rowVariance = head.frame->spec.scale * head.frame->spec.scale * zero / length / 2;
  for (std::int64_t lag = 0; lag < tokens; ++lag) {
    const auto index = static_cast<std::size_t>(lag);
    const auto count = static_cast<double>(tokens - lag);
    curves.logitByDistance.push_back(head.frame->spec.scale * products.cross.re[index] / length / count);
    curves.queryCorrelation.push_back(zero > 0 ? power.re[index] / count / zero : 0);
  }
  return curves;
}

}  // namespace headscope
