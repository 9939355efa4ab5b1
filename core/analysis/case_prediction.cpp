#include "core/analysis/case_prediction.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <random>

#include "core/analysis/case_evidence.h"
#include "core/analysis/lag_curves.h"
#include "core/analysis/row_kernels.h"

namespace headscope {
namespace {

constexpr std::int64_t kLongest = 512;  ///< tokens at the end of a text that autocorrelations are taken from, at least

std::vector<double> meanRow(const double* rows, std::int64_t count, int dim) {
  std::vector<double> mean(static_cast<std::size_t>(dim), 0.0);
  for (std::int64_t t = 0; t < count; ++t) {
    rowKernels().addScaled(rows + t * dim, 1 / static_cast<double>(count), dim, mean.data());
  }
  return mean;
}

/// The last `count` rows less their mean.
std::vector<double> centredEnd(const std::vector<double>& rows, std::int64_t count, int dim) {
  std::vector<double> end(rows.end() - count * dim, rows.end());
  const std::vector<double> mean = meanRow(end.data(), count, dim);
  for (std::int64_t t = 0; t < count; ++t) {
    rowKernels().addScaled(mean.data(), -1, dim, end.data() + t * dim);
  }
  return end;
}

/// Per dim, so that pairs are sums of two: mean over t of x_t x_{t+lag}.
std::vector<double> autocorrelation(const std::vector<double>& rows, int dim, std::int64_t lag) {
  std::vector<double> sums(static_cast<std::size_t>(dim), 0.0);
  const std::int64_t count = static_cast<std::int64_t>(rows.size()) / dim - lag;
  for (std::int64_t t = 0; t < count; ++t) {
    const double* row = rows.data() + t * dim;
    const double* later = row + lag * dim;
    for (std::size_t d = 0; d < sums.size(); ++d) {
      sums[d] += row[d] * later[d];
    }
  }
  for (double& sum : sums) {
    sum /= static_cast<double>(std::max<std::int64_t>(count, 1));
  }
  return sums;
}

/// The part of the logits that no mean explains.
class Unexplained {
 public:
  /// `longest`: the longest lag that will be asked for.
  Unexplained(const HeadVectors& head, std::int64_t longest)
      : dim_(head.dim), pairs_(dimPairs(head)), scale_(head.frame->spec.scale) {
    const std::int64_t count = std::min(head.tokens(), std::max(kLongest, 2 * longest));
    q_ = centredEnd(head.q, count, dim_);
    k_ = centredEnd(head.keys->k, count, dim_);
    rotatedQ_ = q_;
    for (std::int64_t t = 0; head.frame->rotation && t < count; ++t) {
      head.frame->rotation->rotate(head.tokens() - count + t, rotatedQ_.data() + t * dim_);
    }
    keyVariance_ = autocorrelation(centredEnd(head.keys->dotK, count, dim_), dim_, 0);
    const std::vector<double> rotatedAtOnce = autocorrelation(rotatedQ_, dim_, 0);
    for (const auto& pair : pairs_) {
      power_ += of(keyVariance_, pair) * of(rotatedAtOnce, pair);
    }
    qAtOnce_ = autocorrelation(q_, dim_, 0);
    kAtOnce_ = autocorrelation(k_, dim_, 0);
  }

  /// r: standard deviation.
  double deviation() const { return scale_ * std::sqrt(std::max(power_, 0.0) / 2); }

  /// Correlation with itself at the same keys, `lag` rows later.
  double column(std::int64_t lag) const {
    const std::vector<double> later = autocorrelation(rotatedQ_, dim_, lag);
    double sum = 0;
    for (const auto& pair : pairs_) {
      sum += of(keyVariance_, pair) * of(later, pair);
    }
    return power_ > 0 ? std::clamp(sum / power_, 0.0, 1.0) : 1;
  }

  /// Correlation with itself at keys moved by `lag`, `lag` rows later.
  double diagonal(std::int64_t lag) const {
    const std::vector<double> q = autocorrelation(q_, dim_, lag), k = autocorrelation(k_, dim_, lag);
    double change = 0;
    for (const auto& pair : pairs_) {
      change += of(keyVariance_, pair) * (of(qAtOnce_, pair) - of(q, pair)) +
                of(qAtOnce_, pair) * (of(kAtOnce_, pair) - of(k, pair));
    }
    return power_ > 0 ? std::clamp(1 - change / power_, 0.0, 1.0) : 1;
  }

 private:
  static double of(const std::vector<double>& dims, std::pair<int, int> pair) {
    return dims[static_cast<std::size_t>(pair.first)] +
           (pair.second >= 0 ? dims[static_cast<std::size_t>(pair.second)] : 0);
  }

  int dim_;
  std::vector<std::pair<int, int>> pairs_;
  double scale_;
  std::vector<double> q_, k_, rotatedQ_;  ///< [count, dim] less their means
  std::vector<double> keyVariance_, qAtOnce_, kAtOnce_;
  double power_ = 0;  ///< Σ V A(0)
};

/// Predicted rows: softmax over i of (key part of i + distance part of t − i + the rest).
class PredictedRows {
 public:
  PredictedRows(const HeadVectors& head, const std::vector<double>& byDistance, const Unexplained& rest)
      : head_(head),
        rest_(rest),
        deviation_(rest.deviation()),
        backward_(byDistance.rbegin(), byDistance.rend()),
        key_(byDistance.size()),
        noise_(predictionNoise(static_cast<std::int64_t>(byDistance.size()))) {
    const std::int64_t tokens = head.tokens();
    const std::vector<double> query = meanRow(head.dotQ.data(), tokens, head.dim);
    // The mean key is in the distance part already. A norm after RoPE has no such split.
    const bool split = head.frame->spec.postRope.empty();
    const std::vector<double> meanKey = meanRow(head.keys->k.data(), tokens, head.dim);
    std::vector<double> rotated;
    for (std::int64_t i = 0; i < tokens; ++i) {
      double logit = rowKernels().dot(query.data(), head.dotKRow(i).data(), head.dim);
      if (split) {
        rotated = meanKey;
        if (head.frame->rotation) {
          head.frame->rotation->rotate(i, rotated.data());
        }
        logit -= rowKernels().dot(query.data(), rotated.data(), head.dim);
      }
      key_[static_cast<std::size_t>(i)] = head.frame->spec.scale * logit;
    }
  }

  RowSource source() {
    return {
        [this](std::int64_t t, std::vector<double>& p) { draw(t, 0, 1, p); },
        [this](std::int64_t t, std::int64_t lag, std::vector<double>& p) { draw(t + lag, 0, columnAt(lag), p); },
        [this](std::int64_t t, std::int64_t lag, std::vector<double>& p) { draw(t + lag, lag, diagonalAt(lag), p); }};
  }

 private:
  /// Row t; its rest correlates with that of the first row, whose keys are moved by `moved`.
  void draw(std::int64_t t, std::int64_t moved, double correlation, std::vector<double>& p) const {
    const std::int64_t tokens = head_.tokens(), first = head_.firstKey(t), count = t + 1 - first;
    const double* distance = backward_.data() + (tokens - 1 - t);
    const double kept = deviation_ * correlation, fresh = deviation_ * std::sqrt(1 - correlation * correlation);
    p.assign(static_cast<std::size_t>(t + 1), 0.0);
    for (std::int64_t i = first; i <= t; ++i) {
      const double old = i >= moved ? noise_[static_cast<std::size_t>(i - moved)] : 0;
      p[static_cast<std::size_t>(i)] = key_[static_cast<std::size_t>(i)] + distance[i] + kept * old +
                                       fresh * noise_[static_cast<std::size_t>(tokens + i)];
    }
    double* logits = p.data() + first;
    const double top = rowKernels().maximum(logits, count);
    const double mass = rowKernels().exponentials(logits, count, top, logits).mass;
    std::transform(logits, logits + count, logits, [mass](double x) { return x / mass; });
  }

  double columnAt(std::int64_t lag) {
    if (!column_.contains(lag)) {
      column_[lag] = rest_.column(lag);
    }
    return column_[lag];
  }
  double diagonalAt(std::int64_t lag) {
    if (!diagonal_.contains(lag)) {
      diagonal_[lag] = rest_.diagonal(lag);
    }
    return diagonal_[lag];
  }

  const HeadVectors& head_;
  const Unexplained& rest_;
  double deviation_;
  std::vector<double> backward_;                      ///< [tokens] distance part at tokens − 1 − Δ
  std::vector<double> key_;                           ///< [tokens] key part
  std::vector<double> noise_;                         ///< [2 · tokens] normal variables
  std::map<std::int64_t, double> column_, diagonal_;  ///< correlations of the rest by lag
};

}  // namespace

std::vector<double> predictionNoise(std::int64_t tokens) {
  std::mt19937 random(1);  // the same prediction every time
  std::normal_distribution<double> normal;
  std::vector<double> noise(static_cast<std::size_t>(2 * tokens));
  std::generate(noise.begin(), noise.end(), [&] { return normal(random); });
  return noise;
}

std::int64_t prominentLag(const std::vector<double>& correlationByLag) {
  std::int64_t best = 0;
  double rise = 0;
  double lowest = correlationByLag.empty() ? 0 : correlationByLag[0];
  for (std::size_t lag = 1; 3 * lag < correlationByLag.size(); ++lag) {
    const double here = correlationByLag[lag];
    lowest = std::min(lowest, here);
    const bool peak = here > correlationByLag[lag - 1] && here >= correlationByLag[lag + 1];
    if (lag >= 2 && peak && here - lowest > rise * 1.02) {  // a multiple of the season must not win by chance
      rise = here - lowest;
      best = static_cast<std::int64_t>(lag);
    }
  }
  return best;
}

CaseEvidence predictedEvidence(const HeadVectors& head, const RopeLens& lens, const JobControl& control) {
  const std::int64_t season = prominentLag(lens.queryCorrelationByLag);
  const CaseLags lags = caseLags(head.tokens());
  const Unexplained rest(head, std::max({lags.first, lags.second, season}));
  PredictedRows rows(head, lens.predictedByDistance, rest);
  return evidenceFromRows(rows.source(), head.tokens(), season, measurePeriod(lens.predictedByDistance),
                          kPredictionAnchors, control);
}

}  // namespace headscope
