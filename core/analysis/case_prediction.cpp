#include "core/analysis/case_prediction.h"

#include <algorithm>
#include <cmath>
#include <complex>

#include "core/analysis/fourier.h"
#include "core/analysis/row_agreement.h"

namespace headscope {
namespace {

using Complex = std::complex<double>;

/// Autocorrelations need no more of a long text than this: its last tokens.
constexpr std::int64_t kLongest = 2048;

/// The dims of a head in pairs: RoPE's channels, then the unrotated dims two by two (the last may stand alone).
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

Complex element(const std::vector<double>& rows, std::int64_t t, int dim, std::pair<int, int> pair) {
  const double* row = rows.data() + t * dim;
  return {row[pair.first], pair.second >= 0 ? row[pair.second] : 0.0};
}

std::int64_t firstToken(const HeadVectors& head) {
  return std::max<std::int64_t>(0, head.tokens() - kLongest);
}

double meanSquare(const std::vector<double>& rows, const HeadVectors& head, std::pair<int, int> pair) {
  double sum = 0;
  for (std::int64_t t = firstToken(head); t < head.tokens(); ++t) {
    sum += std::norm(element(rows, t, head.dim, pair));
  }
  return sum / static_cast<double>(head.tokens() - firstToken(head));
}

/// Mean over t of x_{t+lag} conj(x_t) in one pair of dims.
Complex autocorrelation(const std::vector<double>& rows, const HeadVectors& head, std::pair<int, int> pair,
                        std::int64_t lag) {
  Complex sum;
  for (std::int64_t t = firstToken(head); t + lag < head.tokens(); ++t) {
    sum += element(rows, t + lag, head.dim, pair) * std::conj(element(rows, t, head.dim, pair));
  }
  return sum / static_cast<double>(head.tokens() - firstToken(head) - lag);
}

double at(const std::vector<double>& values, std::int64_t index) {
  const auto position = static_cast<std::size_t>(index);
  return position < values.size() ? std::clamp(values[position], 0.0, 1.0) : 0.0;
}

/// The softmax of the predicted logits is the row that distance alone would give.
double predictedEcho(const std::vector<double>& logitByDistance, std::int64_t period) {
  if (period <= 0) {
    return 0;
  }
  const double top = *std::max_element(logitByDistance.begin(), logitByDistance.end());
  std::vector<double> row;
  double total = 0;
  for (const double logit : logitByDistance) {
    row.push_back(std::exp(logit - top));
    total += row.back();
  }
  for (double& p : row) {
    p /= total;
  }
  return std::clamp(rowEcho(row, period), 0.0, 1.0);
}

}  // namespace

std::vector<double> queryCorrelationByLag(const HeadVectors& head) {
  const std::int64_t first = firstToken(head), tokens = head.tokens() - first;
  const Fourier fourier(2 * tokens);
  std::vector<Complex> signal(static_cast<std::size_t>(fourier.length())), power(signal.size());
  for (const auto& pair : dimPairs(head)) {
    const double weight = meanSquare(head.keys->dotK, head, pair);
    std::fill(signal.begin(), signal.end(), Complex());
    for (std::int64_t t = 0; t < tokens; ++t) {
      signal[static_cast<std::size_t>(t)] = element(head.dotQ, first + t, head.dim, pair);
    }
    fourier.forward(signal);
    for (std::size_t f = 0; f < signal.size(); ++f) {
      power[f] += weight * std::norm(signal[f]);
    }
  }
  fourier.backward(power);
  std::vector<double> correlation(static_cast<std::size_t>(tokens));
  for (std::size_t lag = 0; lag < correlation.size(); ++lag) {
    correlation[lag] = power[lag].real() / static_cast<double>(correlation.size() - lag);
  }
  const double zero = correlation[0];
  for (double& value : correlation) {
    value = zero > 0 ? value / zero : 0;
  }
  return correlation;
}

double diagonalCorrelation(const HeadVectors& head, std::int64_t lag) {
  double moved = 0, still = 0;
  for (const auto& pair : dimPairs(head)) {
    still += meanSquare(head.q, head, pair) * meanSquare(head.keys->k, head, pair);
    moved +=
        (autocorrelation(head.q, head, pair, lag) * std::conj(autocorrelation(head.keys->k, head, pair, lag))).real();
  }
  return still > 0 ? moved / still : 0;
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

CaseLags caseLags(std::int64_t tokens) {
  return {std::clamp<std::int64_t>(tokens / 13, 2, 11), std::clamp<std::int64_t>(tokens / 8, 3, 18)};
}

std::int64_t wholePeriods(std::optional<MeasuredPeriod> period, std::int64_t tokens) {
  std::int64_t best = 0;
  double off = 1;
  for (int turns = 1; period && turns <= 4; ++turns) {
    const double exact = turns * period->tokens;
    if (exact < static_cast<double>(tokens) / 3 && std::abs(exact - std::round(exact)) < off) {
      off = std::abs(exact - std::round(exact));
      best = std::llround(exact);
    }
  }
  return best;
}

CaseEvidence predictedEvidence(const HeadVectors& head, const std::vector<double>& predictedByDistance) {
  const CaseLags lags = caseLags(head.tokens());
  const std::vector<double> columns = queryCorrelationByLag(head);
  const auto diagonal = [&head](std::int64_t lag) { return std::clamp(diagonalCorrelation(head, lag), 0.0, 1.0); };
  CaseEvidence evidence;
  evidence.columnStep = at(columns, 1);
  evidence.columnLong = std::min(at(columns, lags.first), at(columns, lags.second));
  evidence.diagonalStep = diagonal(1);
  evidence.diagonalLong = std::min(diagonal(lags.first), diagonal(lags.second));
  evidence.season = prominentLag(columns);
  if (evidence.season > 0) {
    evidence.seasonRows = at(columns, evidence.season);
    evidence.seasonBetween = at(columns, evidence.season / 2);
  }
  const auto period = measurePeriod(predictedByDistance);
  evidence.periodStrength = period ? std::min(period->strength, 1.0) : 0;
  evidence.echo = predictedEcho(predictedByDistance, wholePeriods(period, head.tokens()));
  return evidence;
}

}  // namespace headscope
