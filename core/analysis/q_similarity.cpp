#include "core/analysis/q_similarity.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numbers>

#include "core/analysis/fourier.h"
#include "core/analysis/row_kernels.h"

namespace headscope {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kSmallestNorm = 1e-12;  // as the published code normalises: x / max(|x|, 1e-12)
constexpr double kSmallestProbability = 1e-8;

double dotProduct(const double* a, const double* b, int dim) {
  return rowKernels().dot(a, b, dim);
}

/// Norms of the rows, as the published code takes them.
std::vector<double> rowNorms(const RowsView& rows) {
  std::vector<double> norms(static_cast<std::size_t>(rows.rows));
  for (std::int64_t t = 0; t < rows.rows; ++t) {
    norms[static_cast<std::size_t>(t)] =
        std::max(std::sqrt(dotProduct(rows.row(t), rows.row(t), rows.dim)), kSmallestNorm);
  }
  return norms;
}

/// Rows over their norms.
std::vector<double> unitRows(const RowsView& rows) {
  std::vector<double> units(rows.data, rows.data + rows.rows * rows.dim);
  for (std::int64_t t = 0; t < rows.rows; ++t) {
    double* row = units.data() + t * rows.dim;
    const double norm = std::max(std::sqrt(dotProduct(row, row, rows.dim)), kSmallestNorm);
    const double factor = 1 / norm;
    for (int d = 0; d < rows.dim; ++d) {
      row[d] *= factor;
    }
  }
  return units;
}

double pairsOf(std::int64_t rows) {
  return static_cast<double>(rows) * static_cast<double>(rows - 1);
}

/// Σ_{s≠t} x_s·x_t = |Σx|² − Σ|x|², over the pairs.
double meanOffDiagonalDot(const RowsView& rows) {
  std::vector<double> total(static_cast<std::size_t>(rows.dim), 0.0);
  double squares = 0;
  for (std::int64_t t = 0; t < rows.rows; ++t) {
    const double* row = rows.row(t);
    rowKernels().add(row, rows.dim, total.data());
    squares += dotProduct(row, row, rows.dim);
  }
  return (dotProduct(total.data(), total.data(), rows.dim) - squares) / pairsOf(rows.rows);
}

/// Sum of unit vectors and of their squares, from the first row on.
class UnitSum {
 public:
  explicit UnitSum(int dim) : total_(static_cast<std::size_t>(dim), 0.0) {}

  void add(const double* row) {
    const auto dim = static_cast<std::int64_t>(total_.size());
    const double square = rowKernels().dot(row, row, dim);
    const double norm = std::max(std::sqrt(square), kSmallestNorm);
    rowKernels().addScaled(row, 1 / norm, dim, total_.data());
    squares_ += square / (norm * norm);
  }

  /// Mean cosine over all pairs of the `rows` rows added since `before`.
  double meanPairwiseSince(const UnitSum& before, std::int64_t rows) const {
    double square = 0;
    for (std::size_t d = 0; d < total_.size(); ++d) {
      square += (total_[d] - before.total_[d]) * (total_[d] - before.total_[d]);
    }
    return (square - (squares_ - before.squares_)) / pairsOf(rows);
  }

 private:
  std::vector<double> total_;
  double squares_ = 0;
};

/// Means taken off and scaled to norm 1: the correlation is then a dot product.
std::vector<double> centredUnitRows(const RowsView& rows) {
  std::vector<double> centred(rows.data, rows.data + rows.rows * rows.dim);
  for (std::int64_t t = 0; t < rows.rows; ++t) {
    double* row = centred.data() + t * rows.dim;
    const double mean = rowKernels().sum(row, rows.dim) / rows.dim;
    for (int d = 0; d < rows.dim; ++d) {
      row[d] -= mean;
    }
  }
  return unitRows({centred.data(), rows.rows, rows.dim});
}

/// Probabilities of each row, clamped and renormalised, then their logarithms: [rows, 2, dim].
std::vector<double> softmaxRows(const RowsView& rows) {
  const auto dim = static_cast<std::size_t>(rows.dim);
  std::vector<double> table(static_cast<std::size_t>(rows.rows) * 2 * dim);
  for (std::int64_t t = 0; t < rows.rows; ++t) {
    double* p = table.data() + static_cast<std::size_t>(t) * 2 * dim;
    const double* row = rows.row(t);
    const double top = *std::max_element(row, row + dim);
    double sum = 0;
    for (std::size_t d = 0; d < dim; ++d) {
      sum += p[d] = std::exp(row[d] - top);
    }
    double clamped = 0;
    for (std::size_t d = 0; d < dim; ++d) {
      clamped += p[d] = std::max(p[d] / sum, kSmallestProbability);
    }
    for (std::size_t d = 0; d < dim; ++d) {
      p[d] /= clamped;
      p[dim + d] = std::log(p[d]);
    }
  }
  return table;
}

/// Mean over s < t of f(s, t): pairs are symmetric.
template <typename Function>
double meanOverPairs(std::int64_t rows, Function f) {
  double total = 0;
  for (std::int64_t t = 1; t < rows; ++t) {
    double rowTotal = 0;
    for (std::int64_t s = 0; s < t; ++s) {
      rowTotal += f(s, t);
    }
    total += rowTotal;
  }
  return 2 * total / pairsOf(rows);
}

double meanKl(const RowsView& rows) {
  const std::vector<double> table = softmaxRows(rows);
  const int dim = rows.dim;
  return meanOverPairs(rows.rows, [&](std::int64_t s, std::int64_t t) {
    const double* p = table.data() + s * 2 * dim;
    const double* r = table.data() + t * 2 * dim;
    double total = 0;
    for (int d = 0; d < dim; ++d) {
      total += (p[d] - r[d]) * (p[dim + d] - r[dim + d]);
    }
    return total / 2;
  });
}

double meanAngle(const RowsView& rows) {
  const std::vector<double> units = unitRows(rows);
  const RowsView view{units.data(), rows.rows, rows.dim};
  return meanOverPairs(rows.rows,
                       [&](std::int64_t s, std::int64_t t) {
                         return std::acos(std::clamp(dotProduct(view.row(s), view.row(t), view.dim), -1.0, 1.0));
                       }) /
         std::numbers::pi;
}

double meanDistance(const RowsView& rows, Measure measure, double sigma) {
  const int dim = rows.dim;
  return meanOverPairs(rows.rows, [&](std::int64_t s, std::int64_t t) {
    const double* a = rows.row(s);
    const double* b = rows.row(t);
    if (measure == Measure::L1) {
      double total = 0;
      for (int d = 0; d < dim; ++d) {
        total += std::abs(a[d] - b[d]);
      }
      return total;
    }
    const double squared = rowKernels().squaredDistance(a, b, dim);
    return measure == Measure::Rbf ? std::exp(-squared / (2 * sigma * sigma)) : std::sqrt(squared);
  });
}

}  // namespace

std::string_view measureName(Measure measure) {
  constexpr std::array<std::string_view, kMeasureCount> kNames{"cosine", "dot",     "euclidean", "l1",
                                                               "rbf",    "pearson", "angular",   "kl"};
  return kNames[static_cast<std::size_t>(measure)];
}

bool isDistance(Measure measure) {
  return measure == Measure::Euclidean || measure == Measure::L1 || measure == Measure::Angular ||
         measure == Measure::Kl;
}

std::vector<double> consecutiveCosine(const RowsView& rows, std::int64_t lag) {
  std::vector<double> cosines;
  if (lag < 1 || rows.rows <= lag) {
    return cosines;
  }
  const std::vector<double> norms = rowNorms(rows);
  cosines.reserve(norms.size());
  for (std::int64_t t = 0; t + lag < rows.rows; ++t) {
    cosines.push_back(dotProduct(rows.row(t), rows.row(t + lag), rows.dim) / norms[static_cast<std::size_t>(t)] /
                      norms[static_cast<std::size_t>(t + lag)]);
  }
  return cosines;
}

double meanConsecutiveCosine(const RowsView& rows) {
  const std::vector<double> cosines = consecutiveCosine(rows);
  return cosines.empty() ? kNan
                         : rowKernels().sum(cosines.data(), static_cast<std::int64_t>(cosines.size())) /
                               static_cast<double>(cosines.size());
}

double meanPairwise(const RowsView& rows, Measure measure, double sigma) {
  if (rows.rows < 2) {
    return kNan;
  }
  switch (measure) {
    case Measure::Dot:
      return meanOffDiagonalDot(rows);
    case Measure::Cosine: {
      const std::vector<double> units = unitRows(rows);
      return meanOffDiagonalDot({units.data(), rows.rows, rows.dim});
    }
    case Measure::Pearson: {
      const std::vector<double> units = centredUnitRows(rows);
      return meanOffDiagonalDot({units.data(), rows.rows, rows.dim}) / rows.dim;
    }
    case Measure::Angular:
      return meanAngle(rows);
    case Measure::Kl:
      return meanKl(rows);
    case Measure::Euclidean:
    case Measure::L1:
    case Measure::Rbf:
      break;
  }
  return meanDistance(rows, measure, sigma);
}

std::vector<double> cosineByLag(const RowsView& rows) {
  if (rows.rows == 0) {
    return {};
  }
  // Two dims make one complex signal; the real part of its autocorrelation is the sum of theirs.
  std::vector<double> factors = rowNorms(rows);
  std::transform(factors.begin(), factors.end(), factors.begin(), [](double norm) { return 1 / norm; });
  Fourier& fourier = Fourier::ofLength(2 * rows.rows);
  Spectrum signal = fourier.zeros(), power = fourier.zeros();
  for (int d = 0; d < rows.dim; d += 2) {
    std::fill(signal.re.begin(), signal.re.end(), 0.0);
    std::fill(signal.im.begin(), signal.im.end(), 0.0);
    for (std::int64_t t = 0; t < rows.rows; ++t) {
      const double* row = rows.row(t) + d;
      const auto index = static_cast<std::size_t>(t);
      signal.re[index] = row[0] * factors[index];
      signal.im[index] = d + 1 < rows.dim ? row[1] * factors[index] : 0.0;
    }
    fourier.forward(signal);
    for (std::size_t f = 0; f < power.re.size(); ++f) {
      power.re[f] += signal.re[f] * signal.re[f] + signal.im[f] * signal.im[f];
    }
  }
  fourier.backward(power);
  std::vector<double> means(static_cast<std::size_t>(rows.rows));
  for (std::int64_t lag = 0; lag < rows.rows; ++lag) {
    means[static_cast<std::size_t>(lag)] = power.re[static_cast<std::size_t>(lag)] /
                                           static_cast<double>(fourier.length()) / static_cast<double>(rows.rows - lag);
  }
  return means;
}

double kvSimilarity(const HeadVectors& head, Measure measure, std::int64_t window) {
  const RowsView rows = queriesInDot(head);
  const std::int64_t count = std::min(window, rows.rows);
  return meanPairwise(rows.slice(rows.rows - count, count), measure);
}

std::vector<SegmentSimilarity> pruneSegments(const RowsView& queries, const SegmentRule& rule) {
  // Sums of unit vectors up to each place where a segment starts or ends: overlapping segments share their rows.
  std::vector<std::int64_t> places;
  for (std::int64_t start = 0; start < queries.rows; start += rule.stride) {
    places.push_back(start);
    places.push_back(std::min(start + rule.length, queries.rows));
  }
  std::sort(places.begin(), places.end());
  places.erase(std::unique(places.begin(), places.end()), places.end());
  std::map<std::int64_t, UnitSum> sums;
  UnitSum sum(queries.dim);
  std::int64_t row = 0;
  for (const std::int64_t place : places) {
    for (; row < place; ++row) {
      sum.add(queries.row(row));
    }
    sums.emplace(place, sum);
  }
  std::vector<SegmentSimilarity> segments;
  for (std::int64_t start = 0; start < queries.rows; start += rule.stride) {
    const std::int64_t tokens = std::min(rule.length, queries.rows - start);
    if (tokens > 1) {
      segments.push_back({start, tokens, sums.at(start + tokens).meanPairwiseSince(sums.at(start), tokens)});
    }
  }
  return segments;
}

double pruneSimilarity(const RowsView& queries, const SegmentRule& rule) {
  const std::vector<SegmentSimilarity> segments = pruneSegments(queries, rule);
  double total = 0;
  for (const SegmentSimilarity& segment : segments) {
    total += segment.similarity;
  }
  return segments.empty() ? kNan : total / static_cast<double>(segments.size());
}

MeasureScores allMeasures(const RowsView& queries) {
  const std::int64_t count = std::min(kMeasureWindow, queries.rows);
  const RowsView last = queries.slice(queries.rows - count, count);
  MeasureScores scores{};
  for (std::size_t m = 0; m < kMeasureCount; ++m) {
    scores[m] = meanPairwise(last, static_cast<Measure>(m));
  }
  return scores;
}

RowsView queriesBeforeRope(const HeadVectors& head) {
  return {head.q.data(), head.tokens(), head.dim};
}

RowsView queriesInDot(const HeadVectors& head) {
  return {head.dotQ.data(), head.tokens(), head.dim};
}

RowsView keysBeforeRope(const HeadVectors& head) {
  return {head.keys->k.data(), head.tokens(), head.dim};
}

std::vector<double> windowedCosine(const RowsView& rows, std::int64_t window) {
  std::vector<double> similarity(static_cast<std::size_t>(rows.rows), kNan);
  const std::vector<double> units = unitRows(rows);
  std::vector<double> total(static_cast<std::size_t>(rows.dim), 0.0);
  for (std::int64_t t = 0; t < rows.rows; ++t) {
    const std::int64_t count = std::min(window, t + 1);
    double squares = 0;
    std::fill(total.begin(), total.end(), 0.0);
    for (std::int64_t s = t + 1 - count; s <= t; ++s) {
      const double* row = units.data() + s * rows.dim;
      rowKernels().add(row, rows.dim, total.data());
      squares += dotProduct(row, row, rows.dim);
    }
    if (count > 1) {
      similarity[static_cast<std::size_t>(t)] =
          (dotProduct(total.data(), total.data(), rows.dim) - squares) / pairsOf(count);
    }
  }
  return similarity;
}

}  // namespace headscope
