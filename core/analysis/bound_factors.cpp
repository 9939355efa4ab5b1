#include "core/analysis/bound_factors.h"

#include <algorithm>
#include <cmath>

namespace headscope {
namespace {

double norm(const double* row, int dim) {
  double squares = 0;
  for (int d = 0; d < dim; ++d) {
    squares += row[d] * row[d];
  }
  return std::sqrt(squares);
}

double distance(const double* a, const double* b, int dim) {
  double squares = 0;
  for (int d = 0; d < dim; ++d) {
    squares += (a[d] - b[d]) * (a[d] - b[d]);
  }
  return std::sqrt(squares);
}

double sineFactor(double angle) {
  return 2 * std::abs(std::sin(angle / 2));
}

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
  return std::hypot(row[rope.first(m)], row[rope.second(m)]);
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

/// C K and E K: [tokens, dim] each.
struct SplitKeys {
  std::vector<double> mean, half;
};

SplitKeys splitKeys(const RotatedForm& form) {
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
  for (std::size_t index = 0; index < form.k.size(); ++index) {
    keys.mean[index] *= mean[index % static_cast<std::size_t>(dim)];
    keys.half[index] *= half[index % static_cast<std::size_t>(dim)];
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
      for (int d = 0; d < rotary; ++d) {
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

std::vector<double> RotatedForm::weightedRows(const std::vector<double>& rows) const {
  std::vector<double> rotated(rows);
  for (std::int64_t t = 0; t < tokens(); ++t) {
    double* row = rotated.data() + t * head.dim;
    rotate(t, row);
    for (int d = 0; weighted && d < head.dim; ++d) {
      row[d] *= weight[static_cast<std::size_t>(d)];
    }
  }
  return rotated;
}

BoundFactors columnFactors(const RotatedForm& form, std::int64_t lag) {
  const int dim = form.head.dim, channels = form.channels();
  const std::int64_t tokens = form.tokens();
  FactorRows left(tokens, 1 + channels), right(tokens, 1 + channels);
  const std::vector<double> keys = form.weightedKeys();
  for (std::int64_t t = 0; t < tokens; ++t) {
    const double* key = keys.data() + t * dim;
    right.row(t)[0] = norm(key, dim);
    for (int m = 0; m < channels; ++m) {
      right.row(t)[1 + m] = channelLength(*form.head.frame->rope, key, m);
    }
    if (t + lag >= tokens) {
      continue;
    }
    const double* query = form.q.data() + t * dim;
    const auto step = static_cast<double>(form.position(t + lag) - form.position(t));
    left.row(t)[0] = distance(query + lag * dim, query, dim);
    for (int m = 0; m < channels; ++m) {
      left.row(t)[1 + m] = sineFactor(step * form.frequency(m)) * channelLength(*form.head.frame->rope, query, m);
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
  for (std::int64_t t = 0; t < tokens; ++t) {
    const double* query = queries.data() + t * dim;
    left.row(t)[0] = norm(query, dim);
    for (int m = 0; m < channels; ++m) {
      left.row(t)[1 + m] = channelLength(*form.head.frame->rope, query, m);
    }
    if (t < period) {
      continue;
    }
    const double* key = form.k.data() + t * dim;
    const auto step = static_cast<double>(form.position(t) - form.position(t - period));
    right.row(t)[0] = distance(key - period * dim, key, dim);
    for (int m = 0; m < channels; ++m) {
      right.row(t)[1 + m] = sineFactor(step * form.frequency(m)) * channelLength(*form.head.frame->rope, key, m);
    }
  }
  return {1 + channels, left.take(), right.packed()};
}

StepVectors stepVectors(const RotatedForm& form) {
  const int dim = form.head.dim;
  StepVectors steps{std::vector<double>(form.q.size(), 0.0), std::vector<double>(form.q.size(), 0.0)};
  std::vector<double> before(static_cast<std::size_t>(dim));
  for (std::int64_t t = 0; t + 1 < form.tokens(); ++t) {
    const double* query = form.q.data() + t * dim;
    double* change = steps.change.data() + t * dim;
    double* turn = steps.turn.data() + t * dim;
    for (int d = 0; d < dim; ++d) {
      change[d] = query[dim + d] - query[d];
      before[static_cast<std::size_t>(d)] = turn[d] = query[d];
    }
    form.rotate(t + 1, change);
    form.rotate(t + 1, turn);
    form.rotate(t, before.data());
    for (int d = 0; d < dim; ++d) {
      turn[d] -= before[static_cast<std::size_t>(d)];
    }
  }
  return steps;
}

}  // namespace headscope
