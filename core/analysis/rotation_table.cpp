#include "core/analysis/rotation_table.h"

#include <cmath>
#include <utility>

namespace headscope {

RotationTable::RotationTable(Rope rope, std::span<const std::int64_t> positions)
    : rope_(std::move(rope)), positions_(positions.begin(), positions.end()) {
  const auto channels = static_cast<std::size_t>(rope_.channels());
  cosSin_.resize(positions_.size() * 2 * channels);
  double* target = cosSin_.data();
  for (const std::int64_t position : positions_) {
    for (std::size_t m = 0; m < channels; ++m) {
      const double angle = static_cast<double>(position) * rope_.invFreq[m];
      target[m] = std::cos(angle) * rope_.attentionScaling;
      target[channels + m] = std::sin(angle) * rope_.attentionScaling;
    }
    target += 2 * channels;
  }
}

void RotationTable::rotate(std::int64_t index, double* row) const noexcept {
  const int channels = rope_.channels();
  const double* cosine = cosSin_.data() + index * 2 * channels;
  const double* sine = cosine + channels;
  double* x = row;
  double* y = row + (rope_.pairing == RopePairing::Half ? channels : 1);
  const int step = rope_.pairing == RopePairing::Half ? 1 : 2;
  for (int m = 0; m < channels; ++m, x += step, y += step) {
    const double turned = *x * cosine[m] - *y * sine[m];
    *y = *y * cosine[m] + *x * sine[m];
    *x = turned;
  }
}

}  // namespace headscope
