#include "core/analysis/case_prediction.h"

#include <algorithm>
#include <cmath>

#include "core/analysis/lag_curves.h"
#include "core/analysis/row_agreement.h"

namespace headscope {
namespace {

/// The diagonals' expectation needs no more of a long text than this: its last tokens.
constexpr std::int64_t kLongest = 512;

/// Autocorrelations of all pairs of dims: mean over t of x_{t+lag} conj(x_t).
struct Turns {
  std::vector<double> re, im;
};

Turns autocorrelations(const std::vector<double>& rows, const HeadVectors& head, std::int64_t lag) {
  const auto pairs = dimPairs(head);
  Turns sums{std::vector<double>(pairs.size(), 0.0), std::vector<double>(pairs.size(), 0.0)};
  const std::int64_t first = std::max<std::int64_t>(0, head.tokens() - kLongest);
  const auto count = static_cast<double>(head.tokens() - first - lag);
  for (std::int64_t t = first; t + lag < head.tokens(); ++t) {
    const double* row = rows.data() + t * head.dim;
    const double* later = row + lag * head.dim;
    for (std::size_t j = 0; j < pairs.size(); ++j) {
      const auto [a, b] = pairs[j];
      const double x = row[a], y = b >= 0 ? row[b] : 0, laterX = later[a], laterY = b >= 0 ? later[b] : 0;
      sums.re[j] += laterX * x + laterY * y;
      sums.im[j] += laterY * x - laterX * y;
    }
  }
  for (std::size_t j = 0; j < pairs.size(); ++j) {
    sums.re[j] /= count;
    sums.im[j] /= count;
  }
  return sums;
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

std::vector<double> diagonalCorrelations(const HeadVectors& head, const std::vector<std::int64_t>& lags) {
  const Turns q = autocorrelations(head.q, head, 0), k = autocorrelations(head.keys->k, head, 0);
  double still = 0;
  for (std::size_t j = 0; j < q.re.size(); ++j) {
    still += q.re[j] * k.re[j];
  }
  std::vector<double> correlations;
  for (const std::int64_t lag : lags) {
    const Turns movedQ = autocorrelations(head.q, head, lag), movedK = autocorrelations(head.keys->k, head, lag);
    double moved = 0;
    for (std::size_t j = 0; j < q.re.size(); ++j) {
      moved += movedQ.re[j] * movedK.re[j] + movedQ.im[j] * movedK.im[j];
    }
    correlations.push_back(still > 0 ? std::clamp(moved / still, 0.0, 1.0) : 0);
  }
  return correlations;
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

CaseEvidence predictedEvidence(const HeadVectors& head, const RopeLens& lens) {
  const CaseLags lags = caseLags(head.tokens());
  const std::vector<double>& columns = lens.queryCorrelationByLag;
  const std::vector<double> diagonals = diagonalCorrelations(head, {1, lags.first, lags.second});
  CaseEvidence evidence;
  evidence.columnStep = at(columns, 1);
  evidence.columnLong = std::min(at(columns, lags.first), at(columns, lags.second));
  evidence.diagonalStep = diagonals[0];
  evidence.diagonalLong = std::min(diagonals[1], diagonals[2]);
  evidence.season = prominentLag(columns);
  if (evidence.season > 0) {
    evidence.seasonRows = at(columns, evidence.season);
    evidence.seasonBetween = at(columns, evidence.season / 2);
  }
  const auto period = measurePeriod(lens.predictedByDistance);
  evidence.periodStrength = period ? std::min(period->strength, 1.0) : 0;
  evidence.echo = predictedEcho(lens.predictedByDistance, wholePeriods(period, head.tokens()));
  return evidence;
}

}  // namespace headscope
