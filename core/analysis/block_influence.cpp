#include "core/analysis/block_influence.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

namespace headscope {

BlockInfluence::BlockInfluence(int layers) : layers_(static_cast<std::size_t>(layers)) {}

void BlockInfluence::accumulate(Sum& sum, const float* before, const float* after, std::int64_t rows, int width) {
  constexpr double kSmallestNorm = 1e-8;  // torch.nn.functional.cosine_similarity
  for (std::int64_t row = 0; row < rows; ++row, before += width, after += width) {
    double dot = 0, squaresBefore = 0, squaresAfter = 0;
    for (int d = 0; d < width; ++d) {
      const double x = before[d], y = after[d];
      dot += x * y;
      squaresBefore += x * x;
      squaresAfter += y * y;
    }
    const double cosine =
        dot / (std::max(std::sqrt(squaresBefore), kSmallestNorm) * std::max(std::sqrt(squaresAfter), kSmallestNorm));
    sum.cosine += cosine;
    sum.angle += std::acos(std::clamp(cosine, -1.0, 1.0)) / std::numbers::pi;
    ++sum.rows;
  }
}

void BlockInfluence::observe(int layer, std::int64_t first, std::span<const float> rows, int width) {
  const auto offset = static_cast<std::size_t>(first) * static_cast<std::size_t>(width);
  const std::int64_t tokens = static_cast<std::int64_t>(rows.size()) / width;
  if (before_.size() < offset + rows.size()) {
    before_.resize(offset + rows.size());
  }
  float* before = before_.data() + offset;
  if (layer == count() + 1) {
    addPublishedLast(before, rows.data(), tokens, width);
    return;
  }
  if (layer > 0) {
    add(layer - 1, before, rows.data(), tokens, width);
  }
  if (layer < count()) {  // the last layer's input stays for the comparison after the final norm
    std::copy(rows.begin(), rows.end(), before);
  }
}

void BlockInfluence::add(int layer, const float* before, const float* after, std::int64_t rows, int width) {
  accumulate(layers_.at(static_cast<std::size_t>(layer)), before, after, rows, width);
}

void BlockInfluence::addPublishedLast(const float* before, const float* afterFinalNorm, std::int64_t rows, int width) {
  accumulate(publishedLast_, before, afterFinalNorm, rows, width);
}

std::vector<double> BlockInfluence::collect(bool published, bool angular) const {
  std::vector<double> values;
  for (std::size_t layer = 0; layer < layers_.size(); ++layer) {
    const Sum& sum = published && layer + 1 == layers_.size() ? publishedLast_ : layers_[layer];
    const auto rows = static_cast<double>(sum.rows);
    values.push_back(sum.rows == 0 ? std::numeric_limits<double>::quiet_NaN()
                                   : (angular ? sum.angle / rows : 1 - sum.cosine / rows));
  }
  return values;
}

std::vector<double> BlockInfluence::residual() const {
  return collect(false, false);
}

std::vector<double> BlockInfluence::published() const {
  return collect(true, false);
}

std::vector<double> BlockInfluence::residualAngular() const {
  return collect(false, true);
}

std::vector<double> BlockInfluence::publishedAngular() const {
  return collect(true, true);
}

}  // namespace headscope
