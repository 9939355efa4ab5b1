#include "core/rope/rope.h"

#include <cmath>
#include <cstddef>

namespace headscope {
namespace {

template <typename Real>
void rotateRows(const Rope& rope, std::span<const std::int64_t> positions, int dim, Real* data) {
  const int channels = rope.channels();
  const Real scaling = static_cast<Real>(rope.attentionScaling);
  for (std::size_t row = 0; row < positions.size(); ++row) {
    Real* x = data + row * static_cast<std::size_t>(dim);
    const Real position = static_cast<Real>(positions[row]);
    for (int m = 0; m < channels; ++m) {
      const Real angle = position * static_cast<Real>(rope.invFreq[static_cast<std::size_t>(m)]);
      const Real c = std::cos(angle) * scaling;
      const Real s = std::sin(angle) * scaling;
      Real& first = x[rope.first(m)];
      Real& second = x[rope.second(m)];
      const Real turned = first * c - second * s;
      second = second * c + first * s;
      first = turned;
    }
  }
}

}  // namespace

void rotate(const Rope& rope, std::span<const std::int64_t> positions, int dim, float* data) {
  rotateRows(rope, positions, dim, data);
}

void rotateExactly(const Rope& rope, std::span<const std::int64_t> positions, int dim, double* data) {
  rotateRows(rope, positions, dim, data);
}

}  // namespace headscope
