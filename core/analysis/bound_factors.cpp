#include "core/analysis/bound_factors.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/analysis/channel_lengths.h"

namespace headscope {
namespace {

double norm(const double* row, int dim) {
  return std::sqrt(rowKernels().dot(row, row, dim));
}

double distance(const double* a, const double* b, int dim) {
  return std::sqrt(rowKernels().squaredDistance(a, b, dim));
}

double sineFactor(double angle) {
  return 2 * std::abs(std::sin(angle / 2));
}

/// lengths[m] · 2|sin(stepθ_m/2)|. Most steps are alike, so the last factors are kept.
class SineFactors {
 public:
  explicit SineFactors(const RotatedForm& form) : factors_(static_cast<std::size_t>(form.channels())) {}

  void scale(const RotatedForm& form, std::int64_t step, double* lengths) {
    if (!known_ || step_ != step) {
      for (int m = 0; m < form.channels(); ++m) {
        factors_[static_cast<std::size_t>(m)] = sineFactor(static_cast<double>(step) * form.frequency(m));
      }
      step_ = step;
      known_ = true;
    }
    for (std::size_t m = 0; m < factors_.size(); ++m) {
      lengths[m] *= factors_[m];
    }
  }

 private:
  std::int64_t step_ = 0;
  bool known_ = false;
  std::vector<double> factors_;
};

void lengthsOf(const RotatedForm& form, const double* row, double* lengths) {
  if (form.channels() > 0) {
    channelLengths(form.rope(), row, lengths);
  }
}

/// Splits D on channel m: mean and half difference of its two weights.
struct ChannelWeight {
  double mean = 1, half = 0;
};

ChannelWeight channelWeight(const RotatedForm& form, int m) {
  const double a = form.weight()[static_cast<std::size_t>(form.rope().first(m))];
  const double b = form.weight()[static_cast<std::size_t>(form.rope().second(m))];
  return {(a + b) / 2, (a - b) / 2};
}

/// D's two parts, dim by dim: C, and E without its signs, which change no norm.
struct SplitWeight {
  std::vector<double> mean, half;
};

SplitWeight splitWeight(const RotatedForm& form) {
  SplitWeight split{form.weight(), std::vector<double>(form.weight().size(), 0.0)};
  for (int m = 0; m < form.channels(); ++m) {
    const ChannelWeight weight = channelWeight(form, m);
    for (const int d : {form.rope().first(m), form.rope().second(m)}) {
      split.mean[static_cast<std::size_t>(d)] = weight.mean;
      split.half[static_cast<std::size_t>(d)] = weight.half;
    }
  }
  return split;
}

/// ‖w∘(a − b)‖; b may be null.
double weightedDistance(const std::vector<double>& w, const double* a, const double* b) {
  double squares = 0;
  for (std::size_t d = 0; d < w.size(); ++d) {
    const double x = w[d] * (b != nullptr ? a[d] - b[d] : a[d]);
    squares += x * x;
  }
  return std::sqrt(squares);
}

bool evenlySpaced(const RotatedForm& form) {
  for (std::int64_t t = 1; t + 1 < form.tokens(); ++t) {
    if (form.position(t + 1) - form.position(t) != form.position(1) - form.position(0)) {
      return false;
    }
  }
  return true;
}

/// The terms of Theorem 5.2 beyond its two products of norms, per channel: one where E ≠ 0, two more where positions
/// have gaps, a fourth where both. Plain RoPE has none.
class DriftTerms {
 public:
  explicit DriftTerms(const RotatedForm& form) {
    const bool possible = form.channels() > 0 && form.tokens() > 1;
    weighted_ = possible && form.weighted();
    gaps_ = possible && !evenlySpaced(form);
    base_ = form.tokens() > 1 ? form.position(1) - form.position(0) : 1;
  }

  std::int64_t width(int channels) const {
    return channels * ((weighted_ ? 1 : 0) + (gaps_ ? (weighted_ ? 3 : 2) : 0));
  }

  void left(const RotatedForm& form, std::int64_t t, double* target) const {
    const auto [plus, minus] = steps(form, t);
    for (int m = 0; m < form.channels() && (weighted_ || gaps_); ++m) {
      const double q = length(form, form.q(t), m), theta = form.frequency(m);
      put(target, q * sineFactor(plus * theta), q * sineFactor(minus * theta), q, q);
    }
  }

  void right(const RotatedForm& form, std::int64_t i, double* target) const {
    const double minus = steps(form, i).second;
    for (int m = 0; m < form.channels() && (weighted_ || gaps_); ++m) {
      const ChannelWeight weight = channelWeight(form, m);
      const double k = length(form, form.k(i), m), turn = sineFactor(minus * form.frequency(m));
      put(target, k * std::abs(weight.half), k * std::abs(weight.mean), k * std::abs(weight.mean) * turn,
          k * std::abs(weight.half) * turn);
    }
  }

 private:
  /// δ_t + base and δ_t − base.
  std::pair<double, double> steps(const RotatedForm& form, std::int64_t t) const {
    const std::int64_t step = t + 1 < form.tokens() ? form.position(t + 1) - form.position(t) : base_;
    return {static_cast<double>(step + base_), static_cast<double>(step - base_)};
  }
  static double length(const RotatedForm& form, const double* row, int m) {
    return std::hypot(row[form.rope().first(m)], row[form.rope().second(m)]);
  }
  void put(double*& target, double turned, double gapQuery, double gapKey, double turnedGap) const {
    if (weighted_) {
      *target++ = turned;
    }
    if (gaps_) {
      *target++ = gapQuery;
      *target++ = gapKey;
    }
    if (weighted_ && gaps_) {
      *target++ = turnedGap;
    }
  }

  bool weighted_ = false, gaps_ = false;
  std::int64_t base_ = 1;
};

}  // namespace

RotatedForm::RotatedForm(const HeadVectors& head) : head_(head), weight_(static_cast<std::size_t>(head.dim), 1.0) {
  const LayerFrame& frame = *head.frame;
  normed_ = !frame.spec.postRope.empty();
  changed_ = normed_ || (frame.rope && frame.rope->attentionScaling != 1);
  if (changed_) {
    change(true);
    change(false);
  }
  weighted_ = std::any_of(weight_.begin(), weight_.end(), [](double w) { return w != 1; });
  if (weighted_) {
    packed_ = PackedRows(weightedK_.data(), tokens(), dim());
  }
}

/// Q (or K) and D R Q (or D R K). Norms after RoPE have weights, which make D, and a factor per row, 1/rms, which is
/// what turns the rotated, weighted row into the one that enters the dot product.
void RotatedForm::change(bool queries) {
  const LayerFrame& frame = *head_.frame;
  std::vector<double>& rows = queries ? ownQ_ : ownK_;
  rows = queries ? head_.q : head_.keys->k;
  std::vector<double> weights(weight_.size(), 1.0);
  for (const PostRopeStep& step : frame.spec.postRope) {
    for (std::size_t d = 0; step.kind == PostRopeStep::Kind::RmsNorm && d < weights.size(); ++d) {
      weights[d] *= static_cast<double>((queries ? step.q : step.k)[d]);
    }
  }
  std::vector<double> rotated(weights.size());
  for (std::int64_t t = 0; t < tokens(); ++t) {
    double* own = rows.data() + t * dim();
    for (int d = 0; frame.rope && d < frame.rope->rotaryDims; ++d) {
      own[d] *= frame.rope->attentionScaling;
    }
    if (!normed_) {
      continue;
    }
    std::copy_n(own, dim(), rotated.data());
    rotate(t, rotated.data());
    const double length = weightedDistance(weights, rotated.data(), nullptr);
    const double* inDot = (queries ? head_.dotQ : head_.keys->dotK).data() + t * dim();
    const double factor = length > 0 ? norm(inDot, dim()) / length : 0;
    std::transform(own, own + dim(), own, [factor](double x) { return x * factor; });
  }
  for (std::size_t d = 0; d < weights.size(); ++d) {
    weight_[d] *= weights[d];
  }
  if (normed_ && !queries) {  // D is known now
    for (const bool side : {true, false}) {
      std::vector<double>& target = side ? weightedQ_ : weightedK_;
      target = side ? ownQ_ : ownK_;
      for (std::int64_t t = 0; t < tokens(); ++t) {
        double* row = target.data() + t * dim();
        rotate(t, row);
        std::transform(row, row + dim(), weight_.begin(), row, [](double x, double w) { return x * w; });
      }
    }
  }
}

void RotatedForm::rotate(std::int64_t at, double* row) const {
  if (!head_.frame->rotation) {
    return;
  }
  head_.frame->rotation->rotate(at, row);
  const double scaling = rope().attentionScaling;
  for (int d = 0; scaling != 1 && d < rope().rotaryDims; ++d) {
    row[d] /= scaling;
  }
}

std::shared_ptr<const PackedRows> columnKeys(const RotatedForm& form) {
  return std::make_shared<const PackedRows>(form.tokens(), 1 + form.channels(), [&form](std::int64_t i, double* right) {
    right[0] = norm(form.weightedKey(i), form.dim());
    lengthsOf(form, form.weightedKey(i), right + 1);
  });
}

BoundFactors columnFactors(const RotatedForm& form, std::int64_t lag, std::shared_ptr<const PackedRows> keys) {
  const auto left = [&form, lag, sines = SineFactors(form)](std::int64_t t, double* row) mutable {
    row[0] = distance(form.q(t + lag), form.q(t), form.dim());
    lengthsOf(form, form.q(t), row + 1);
    sines.scale(form, form.position(t + lag) - form.position(t), row + 1);
  };
  return {1 + form.channels(), left, std::move(keys)};
}

BoundFactors diagonalFactors(const RotatedForm& form) {
  const DriftTerms drift(form);
  const std::int64_t width = 2 + drift.width(form.channels());
  const SplitWeight split = splitWeight(form);
  const auto right = std::make_shared<const PackedRows>(form.tokens(), width, [&](std::int64_t i, double* row) {
    row[0] = row[1] = 0;
    if (i + 1 < form.tokens()) {
      row[0] = form.weighted() ? weightedDistance(split.mean, form.k(i + 1), nullptr) +
                                     weightedDistance(split.half, form.k(i + 1), nullptr)
                               : norm(form.k(i + 1), form.dim());
      row[1] = form.weighted() ? weightedDistance(split.mean, form.k(i + 1), form.k(i)) +
                                     weightedDistance(split.half, form.k(i + 1), form.k(i))
                               : distance(form.k(i + 1), form.k(i), form.dim());
    }
    drift.right(form, i, row + 2);
  });
  const auto left = [&form, drift](std::int64_t t, double* row) {
    row[0] = distance(form.q(t + 1), form.q(t), form.dim());
    row[1] = norm(form.q(t), form.dim());
    drift.left(form, t, row + 2);
  };
  return {width, left, right};
}

BoundFactors periodFactors(const RotatedForm& form, std::int64_t period) {
  const auto right = std::make_shared<const PackedRows>(
      form.tokens(), 1 + form.channels(), [&, sines = SineFactors(form)](std::int64_t i, double* row) mutable {
        if (i < period) {
          std::fill_n(row, 1 + form.channels(), 0.0);
          return;
        }
        row[0] = distance(form.k(i - period), form.k(i), form.dim());
        lengthsOf(form, form.k(i), row + 1);
        sines.scale(form, form.position(i) - form.position(i - period), row + 1);
      });
  const auto left = [&form](std::int64_t t, double* row) {
    row[0] = norm(form.weightedQuery(t), form.dim());
    lengthsOf(form, form.weightedQuery(t), row + 1);
  };
  return {1 + form.channels(), left, right};
}

StepVectors stepVectors(const RotatedForm& form, std::int64_t first, std::int64_t count) {
  const int dim = form.dim();
  const auto size = static_cast<std::size_t>(count * dim);
  StepVectors steps{std::vector<double>(size), std::vector<double>(size)};
  std::vector<double> before(static_cast<std::size_t>(dim));
  for (std::int64_t r = 0; r < count; ++r) {
    const double* query = form.q(first + r);
    const double* next = form.q(first + r + 1);
    double* change = steps.change.data() + r * dim;
    double* turn = steps.turn.data() + r * dim;
    for (int d = 0; d < dim; ++d) {
      change[d] = next[d] - query[d];
      before[static_cast<std::size_t>(d)] = turn[d] = query[d];
    }
    form.rotate(first + r + 1, change);
    form.rotate(first + r + 1, turn);
    form.rotate(first + r, before.data());
    for (int d = 0; d < dim; ++d) {
      turn[d] -= before[static_cast<std::size_t>(d)];
    }
  }
  return steps;
}

}  // namespace headscope
