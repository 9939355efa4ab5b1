#include "core/analysis/prune_order.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/base/error.h"

namespace headscope {
namespace {

void checkFinite(const std::vector<double>& values) {
  for (std::size_t layer = 0; layer < values.size(); ++layer) {
    if (!std::isfinite(values[layer])) {
      throw Error("", concat("the score of layer ", layer, " is not a finite number, so layers can't be ordered"));
    }
  }
}

}  // namespace

std::vector<double> minMaxNorm(const std::vector<double>& values) {
  checkFinite(values);
  std::vector<double> norm(values.size(), 0.0);
  if (values.empty()) {
    return norm;
  }
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  for (std::size_t layer = 0; layer < values.size() && *high > *low; ++layer) {
    norm[layer] = (values[layer] - *low) / (*high - *low);
  }
  return norm;
}

std::vector<int> ascendingOrder(const std::vector<double>& values) {
  checkFinite(values);
  std::vector<int> order(values.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&values](int a, int b) {
    return values[static_cast<std::size_t>(a)] < values[static_cast<std::size_t>(b)];
  });
  return order;
}

PruneScores tappaPruneScores(const std::vector<double>& bi, const std::vector<double>& qSimilarity, double beta) {
  if (bi.size() != qSimilarity.size() || bi.empty()) {
    throw Error("", concat("block influence has ", bi.size(), " layers, q-similarity ", qSimilarity.size()));
  }
  PruneScores scores;
  scores.biNorm = minMaxNorm(bi);
  scores.qSimilarityNorm = minMaxNorm(qSimilarity);
  scores.score.reserve(bi.size());
  for (std::size_t layer = 0; layer < bi.size(); ++layer) {
    scores.score.push_back(scores.biNorm[layer] + beta * (1 - scores.qSimilarityNorm[layer]));
  }
  scores.order = ascendingOrder(scores.score);
  return scores;
}

std::vector<int> shortGptOrder(const std::vector<double>& bi) {
  return ascendingOrder(bi);
}

std::vector<int> mostSimilarFirst(const std::vector<double>& qSimilarity) {
  std::vector<double> dissimilarity;
  dissimilarity.reserve(qSimilarity.size());
  for (const double similarity : qSimilarity) {
    dissimilarity.push_back(-similarity);
  }
  return ascendingOrder(dissimilarity);
}

}  // namespace headscope
