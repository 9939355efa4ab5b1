#include "core/analysis/row_agreement.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/analysis/row_kernels.h"

namespace headscope {

double rowAgreement(std::span<const double> a, std::span<const double> b, std::int64_t extra) {
  const auto n = static_cast<std::int64_t>(a.size());
  if (n < 2) {
    return 0;
  }
  const RowKernels& kernels = rowKernels();
  const double shared = kernels.overlap(a.data(), b.data(), n);
  constexpr std::array<double, 5> kTurns{0.1458980338, 0.2360679775, 0.3819660113, 0.6180339887, 0.8541019662};
  std::array<double, kTurns.size()> turned{};
  for (std::size_t j = 0; j < kTurns.size(); ++j) {
    const std::int64_t shift = std::clamp<std::int64_t>(std::llround(kTurns[j] * static_cast<double>(n)), 1, n - 1);
    turned[j] =
        kernels.overlap(a.data(), b.data() + shift, n - shift) + kernels.overlap(a.data() + n - shift, b.data(), shift);
  }
  std::nth_element(turned.begin(), turned.begin() + turned.size() / 2, turned.end());
  const double chance = turned[turned.size() / 2];
  if (!(chance < 1)) {
    return 0;
  }
  const double reach = static_cast<double>(n) / static_cast<double>(n + extra);
  return std::min(1.0, (shared - chance) / (1 - chance) / reach);
}

double rowEcho(std::span<const double> row, std::int64_t lag) {
  const auto shift = static_cast<std::size_t>(lag);
  return shift < row.size() ? rowAgreement(row.first(row.size() - shift), row.subspan(shift), lag) : 0;
}

}  // namespace headscope
