#include "core/capture/prepared_rows.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace headscope {
namespace {

constexpr std::int64_t kBlock = 256;

void rmsNorm(const std::vector<float>& weight, double eps, std::int64_t rows, int dim, float* data) {
  for (std::int64_t row = 0; row < rows; ++row, data += dim) {
    float squares = 0;
    for (int d = 0; d < dim; ++d) {
      squares += data[d] * data[d];
    }
    const float factor = 1.0f / std::sqrt(squares / static_cast<float>(dim) + static_cast<float>(eps));
    for (int d = 0; d < dim; ++d) {
      data[d] *= factor * weight[static_cast<std::size_t>(d)];
    }
  }
}

}  // namespace

RowPreparation::RowPreparation(const Capture& capture, int layer, const Interventions& interventions)
    : capture_(capture), layer_(capture.layer(layer)), spec_(capture.attention(layer)), interventions_(interventions) {
  const Rope* rope = capture.rope(layer);
  checkChannels(rope, interventions);
  if (rope != nullptr) {
    rope_ = intervenedRope(*rope, interventions);
  }
}

void RowPreparation::read(RowsOf side, int head, std::int64_t first, std::int64_t count, float* target) const {
  const bool queries = side == RowsOf::Query;
  const FloatRows& rows = (queries ? layer_.q : layer_.k)[static_cast<std::size_t>(head)];
  const int dim = layer_.dim;
  std::array<std::int64_t, kBlock> positions{};
  for (std::int64_t done = 0; done < count; done += kBlock) {
    const std::int64_t block = std::min(kBlock, count - done);
    float* data = target + done * dim;
    rows.read(first + done, block, data);
    if (rope_) {
      if (interventions_.any()) {
        changeChannels(*rope_, interventions_, queries, block, dim, data);
      }
      for (std::int64_t i = 0; i < block; ++i) {
        positions[static_cast<std::size_t>(i)] = capture_.position(first + done + i);
      }
      rotate(*rope_, std::span(positions).first(static_cast<std::size_t>(block)), dim, data);
    }
    afterRope(side, first + done, block, data);
  }
}

void RowPreparation::afterRope(RowsOf side, std::int64_t first, std::int64_t count, float* data) const {
  const bool queries = side == RowsOf::Query;
  for (const PostRopeStep& step : spec_.postRope) {
    if (step.kind == PostRopeStep::Kind::RmsNorm) {
      rmsNorm(queries ? step.q : step.k, step.eps, count, layer_.dim, data);
    } else if (queries) {
      for (std::int64_t i = 0; i < count; ++i) {
        const double turns =
            std::floor(static_cast<double>(capture_.position(first + i)) / static_cast<double>(step.original));
        const auto factor = static_cast<float>(1.0 + step.beta * std::log1p(turns));
        float* row = data + i * layer_.dim;
        std::transform(row, row + layer_.dim, row, [factor](float x) { return x * factor; });
      }
    }
  }
}

}  // namespace headscope
