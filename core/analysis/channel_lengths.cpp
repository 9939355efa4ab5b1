#include "core/analysis/channel_lengths.h"

#include <cmath>

#include "core/analysis/row_kernels.h"

namespace headscope {

void channelLengths(const Rope& rope, const double* row, double* lengths) {
  const int channels = rope.channels();
  if (rope.pairing == RopePairing::Half) {
    rowKernels().lengths(row, row + channels, channels, lengths);
    return;
  }
  for (int m = 0; m < channels; ++m) {
    lengths[m] = std::sqrt(row[2 * m] * row[2 * m] + row[2 * m + 1] * row[2 * m + 1]);
  }
}

std::vector<double> meanChannelLengths(const Rope& rope, const std::vector<double>& rows, std::int64_t count, int dim) {
  std::vector<double> total(static_cast<std::size_t>(rope.channels()), 0.0), lengths(total);
  for (std::int64_t t = 0; t < count; ++t) {
    channelLengths(rope, rows.data() + t * dim, lengths.data());
    rowKernels().add(lengths.data(), rope.channels(), total.data());
  }
  for (double& length : total) {
    length /= static_cast<double>(count);
  }
  return total;
}

}  // namespace headscope
