#include "core/analysis/bound_factors.h"

#include <algorithm>
#include <cmath>

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

/// 2|sin(stepθ_m/2)| for every channel; most steps are alike, so the last ones are kept.
class SineFactors {
 public:
  explicit SineFactors(const RotatedForm& form) : form_(form), factors_(static_cast<std::size_t>(form.channels())) {}

  const std::vector<double>& of(std::int64_t step) {
    if (!known_ || step_ != step) {
      for (int m = 0; m < form_.channels(); ++m) {
        factors_[static_cast<std::size_t>(m)] = sineFactor(static_cast<double>(step) * form_.frequency(m));
      }
      step_ = step;
      known_ = true;
    }
    return factors_;
  }

 private:
  const RotatedForm& form_;
  std::int64_t step_ = 0;
  bool known_ = false;
  std::vector<double> factors_;
};

/// Rows of factors that grow column by column.
class FactorRows {
 public:
  FactorRows(std::int64_t rows, std::int64_t width)
      : width_(width), data_(static_cast<std::size_t>(rows * width), 0.0) {}

  double* row(std::int64_t t) { return data_.data() + t * width_; }
  std::vector<double> take() { return std::move(data_); }
  PackedRows packed() const {
    return {data_.data(), static_cast<std::int64_t>(data_.size()) / std::max<std::int64_t>(width_, 1), width_};
  }

 private:
  std::int64_t width_;
  std::vector<double> data_;
};

double channelLength(const Rope& rope, const double* row, int m) {
  const double x = row[rope.first(m)], y = row[rope.second(m)];
  return std::sqrt(x * x + y * y);
}

/// target[m] = lengths[m] · factors[m]
void scaled(const double* lengths, const std::vector<double>& factors, double* target) {
  for (std::size_t m = 0; m < factors.size(); ++m) {
    target[m] = lengths[m] * factors[m];
  }
}

/// Splits D on channel m: mean and half difference of its two weights.
struct ChannelWeight {
  double mean = 1, half = 0;
};

ChannelWeight channelWeight(const RotatedForm& form, int m) {
  const Rope& rope = *form.head.frame->rope;
  const double a = form.weight[static_cast<std::size_t>(rope.first(m))];
  const double b = form.weight[static_cast<std::size_t>(rope.second(m))];
  return {(a + b) / 2, (a - b) / 2};
}

/// C K and E K: [tokens, dim] each; E K is empty where E = 0.
struct SplitKeys {
  std::vector<double> mean, half;
};

SplitKeys splitKeys(const RotatedForm& form) {
  if (!form.weighted) {
    return {form.k, {}};
  }
  const int dim = form.head.dim;
  std::vector<double> mean(form.weight), half(static_cast<std::size_t>(dim), 0.0);
  for (int m = 0; m < form.channels(); ++m) {
    const ChannelWeight weight = channelWeight(form, m);
    for (const int d : {form.head.frame->rope->first(m), form.head.frame->rope->second(m)}) {
      mean[static_cast<std::size_t>(d)] = weight.mean;
      half[static_cast<std::size_t>(d)] = weight.half;  // the sign within a pair changes no norm
    }
  }
  SplitKeys keys{form.k, form.k};
  for (std::int64_t t = 0; t < form.tokens(); ++t) {
    for (int d = 0; d < dim; ++d) {
      keys.mean[static_cast<std::size_t>(t * dim + d)] *= mean[static_cast<std::size_t>(d)];
      keys.half[static_cast<std::size_t>(t * dim + d)] *= half[static_cast<std::size_t>(d)];
    }
  }
  return keys;
}

bool evenlySpaced(const RotatedForm& form) {
  for (std::int64_t t = 1; t + 1 < form.tokens(); ++t) {
    if (form.position(t + 1) - form.position(t) != form.position(1) - form.position(0)) {
      return false;
    }
  }
  return true;
}

/// The terms of Theorem 5.2 beyond its two products of norms, [left, right] per channel: one pair where E ≠ 0, two more
/// where positions have gaps. They are 0 for plain RoPE, which takes none of them.
struct DriftTerms {
  bool weighted = false, gaps = false;
  std::int64_t width(int channels) const { return channels * ((weighted ? 1 : 0) + (gaps ? (weighted ? 3 : 2) : 0)); }
};

void addDrift(const RotatedForm& form, const DriftTerms& terms, std::int64_t t, const double* query, const double* key,
              double* left, double* right) {
  const Rope& rope = *form.head.frame->rope;
  const auto base = static_cast<double>(form.position(1) - form.position(0));
  const bool last = t + 1 >= form.tokens();
  const double step = last ? base : static_cast<double>(form.position(t + 1) - form.position(t));
  for (int m = 0; m < rope.channels(); ++m) {
    const ChannelWeight weight = channelWeight(form, m);
    const double q = channelLength(rope, query, m), k = channelLength(rope, key, m);
    const double theta = form.frequency(m);
    const auto put = [&left, &right](double a, double b) {
      *left++ = a;
      *right++ = b;
    };
    if (terms.weighted) {
      put(q * sineFactor((step + base) * theta), k * std::abs(weight.half));
    }
    if (terms.gaps) {
      put(q * sineFactor((step - base) * theta), k * std::abs(weight.mean));
      put(q, k * std::abs(weight.mean) * sineFactor((step - base) * theta));
    }
    if (terms.gaps && terms.weighted) {
      put(q, k * std::abs(weight.half) * sineFactor((step - base) * theta));
    }
  }
}

}  // namespace

RotatedForm::RotatedForm(const HeadVectors& from)
    : head(from), q(from.q), k(from.keys->k), weight(static_cast<std::size_t>(from.dim), 1.0) {
  const LayerFrame& frame = *head.frame;
  const double scaling = frame.rope ? frame.rope->attentionScaling : 1.0;
  const int rotary = frame.rope ? frame.rope->rotaryDims : 0;
  for (const bool queries : {true, false}) {
    std::vector<double>& rows = queries ? q : k;
    std::vector<double> weights(weight.size(), 1.0);
    for (std::int64_t t = 0; t < frame.tokens; ++t) {
      double* row = rows.data() + t * head.dim;
      for (int d = 0; scaling != 1 && d < rotary; ++d) {
        row[d] *= scaling;
      }
      // A norm's 1/rms is what turns the rotated, weighted row into the one that the head reads.
      const double* dotRow = (queries ? head.dotQ : head.keys->dotK).data() + t * head.dim;
      if (frame.spec.postRope.empty()) {
        continue;
      }
      std::fill(weights.begin(), weights.end(), 1.0);
      for (const PostRopeStep& step : frame.spec.postRope) {
        for (int d = 0; step.kind == PostRopeStep::Kind::RmsNorm && d < head.dim; ++d) {
          weights[static_cast<std::size_t>(d)] *=
              static_cast<double>((queries ? step.q : step.k)[static_cast<std::size_t>(d)]);
        }
      }
      std::vector<double> rotated(row, row + head.dim);
      rotate(t, rotated.data());
      for (int d = 0; d < head.dim; ++d) {
        rotated[static_cast<std::size_t>(d)] *= weights[static_cast<std::size_t>(d)];
      }
      const double length = norm(rotated.data(), head.dim);
      const double factor = length > 0 ? norm(dotRow, head.dim) / length : 0;
      for (int d = 0; d < head.dim; ++d) {
        row[d] *= factor;
      }
    }
    for (std::size_t d = 0; d < weight.size(); ++d) {
      weight[d] *= weights[d];
    }
  }
  weighted = std::any_of(weight.begin(), weight.end(), [](double w) { return w != 1; });
  qLengths = lengthsOf(q);
  kLengths = lengthsOf(k);
}

void RotatedForm::rotate(std::int64_t at, double* row) const {
  if (!head.frame->rotation) {
    return;
  }
  head.frame->rotation->rotate(at, row);
  const double scaling = head.frame->rope->attentionScaling;
  for (int d = 0; scaling != 1 && d < head.frame->rope->rotaryDims; ++d) {
    row[d] /= scaling;
  }
}

std::vector<double> RotatedForm::weightedRows(bool queries) const {
  if (head.frame->spec.postRope.empty()) {
    return queries ? head.dotQ : head.keys->dotK;
  }
  std::vector<double> rotated(queries ? q : k);
  for (std::int64_t t = 0; t < tokens(); ++t) {
    double* row = rotated.data() + t * head.dim;
    rotate(t, row);
    for (int d = 0; weighted && d < head.dim; ++d) {
      row[d] *= weight[static_cast<std::size_t>(d)];
    }
  }
  return rotated;
}

std::vector<double> RotatedForm::lengthsOf(const std::vector<double>& rows) const {
  std::vector<double> lengths(static_cast<std::size_t>(tokens() * channels()));
  if (channels() == 0) {
    return lengths;
  }
  const Rope& rope = *head.frame->rope;
  const int step = rope.pairing == RopePairing::Half ? 1 : 2;
  double* target = lengths.data();
  for (std::int64_t t = 0; t < tokens(); ++t, target += channels()) {
    const double* x = rows.data() + t * head.dim;
    const double* y = x + rope.second(0);
    for (int m = 0; m < channels(); ++m) {
      target[m] = std::sqrt(x[m * step] * x[m * step] + y[m * step] * y[m * step]);
    }
  }
  return lengths;
}

BoundFactors columnFactors(const RotatedForm& form, std::int64_t lag) {
  const int dim = form.head.dim, channels = form.channels();
  const std::int64_t tokens = form.tokens();
  FactorRows left(tokens, 1 + channels), right(tokens, 1 + channels);
  const std::vector<double> keys = form.weightedKeys();
  const std::vector<double> keyLengths = form.weighted ? form.lengthsOf(keys) : form.kLengths;
  SineFactors sines(form);
  for (std::int64_t t = 0; t < tokens; ++t) {
    right.row(t)[0] = norm(keys.data() + t * dim, dim);
    std::copy_n(keyLengths.data() + t * channels, channels, right.row(t) + 1);
    if (t + lag < tokens) {
      const double* query = form.q.data() + t * dim;
      left.row(t)[0] = distance(query + lag * dim, query, dim);
      scaled(form.qLengths.data() + t * channels, sines.of(form.position(t + lag) - form.position(t)), left.row(t) + 1);
    }
  }
  return {1 + channels, left.take(), right.packed()};
}

BoundFactors diagonalFactors(const RotatedForm& form) {
  const int dim = form.head.dim;
  const std::int64_t tokens = form.tokens();
  const bool drifts = form.channels() > 0 && tokens > 1;
  const DriftTerms terms{drifts && form.weighted, drifts && !evenlySpaced(form)};
  const std::int64_t width = 2 + terms.width(form.channels());
  FactorRows left(tokens, width), right(tokens, width);
  const SplitKeys keys = splitKeys(form);
  for (std::int64_t t = 0; t < tokens; ++t) {
    const double* query = form.q.data() + t * dim;
    left.row(t)[1] = norm(query, dim);
    if (t + 1 < tokens) {
      left.row(t)[0] = distance(query + dim, query, dim);
      for (const std::vector<double>* part : {&keys.mean, &keys.half}) {
        if (part->empty()) {
          continue;
        }
        const double* key = part->data() + t * dim;
        right.row(t)[0] += norm(key + dim, dim);
        right.row(t)[1] += distance(key + dim, key, dim);
      }
    }
    if (width > 2) {
      addDrift(form, terms, t, query, form.k.data() + t * dim, left.row(t) + 2, right.row(t) + 2);
    }
  }
  return {width, left.take(), right.packed()};
}

BoundFactors periodFactors(const RotatedForm& form, std::int64_t period) {
  const int dim = form.head.dim, channels = form.channels();
  const std::int64_t tokens = form.tokens();
  FactorRows left(tokens, 1 + channels), right(tokens, 1 + channels);
  const std::vector<double> queries = form.weightedQueries();
  const std::vector<double> queryLengths = form.weighted ? form.lengthsOf(queries) : form.qLengths;
  SineFactors sines(form);
  for (std::int64_t t = 0; t < tokens; ++t) {
    left.row(t)[0] = norm(queries.data() + t * dim, dim);
    std::copy_n(queryLengths.data() + t * channels, channels, left.row(t) + 1);
    if (t >= period) {
      const double* key = form.k.data() + t * dim;
      right.row(t)[0] = distance(key - period * dim, key, dim);
      scaled(form.kLengths.data() + t * channels, sines.of(form.position(t) - form.position(t - period)),
             right.row(t) + 1);
    }
  }
  return {1 + channels, left.take(), right.packed()};
}

StepVectors stepVectors(const RotatedForm& form, std::int64_t first, std::int64_t count) {
  const int dim = form.head.dim;
  const auto size = static_cast<std::size_t>(count * dim);
  StepVectors steps{std::vector<double>(size), std::vector<double>(size)};
  std::vector<double> before(static_cast<std::size_t>(dim));
  for (std::int64_t r = 0; r < count; ++r) {
    const double* query = form.q.data() + (first + r) * dim;
    double* change = steps.change.data() + r * dim;
    double* turn = steps.turn.data() + r * dim;
    for (int d = 0; d < dim; ++d) {
      change[d] = query[dim + d] - query[d];
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
