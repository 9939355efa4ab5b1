#include "core/rope/rope.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace headscope {
namespace {

constexpr int kBlock = 64;  ///< channels whose sines are taken together

// sin and cos of `count` float32 angles, times `scaling`; error below 1e-7 for angles up to 2^30. One loop without
// branches that the compiler turns into vectors: the angle is brought to [−π/4, π/4] in double, the polynomials are
// those of degree 7 and 8 with the smallest relative error there.
[[gnu::always_inline]] inline void sinesAndCosines(const float* angles, int count, float scaling, float* sines,
                                                   float* cosines) {
  constexpr double kTwoOverPi = 0.63661977236758134308;
  constexpr double kHalfPi = 1.57079632679489661923;
  constexpr double kRound = 6755399441055744.0;  // 1.5 · 2^52: adding it rounds to a whole number
  for (int i = 0; i < count; ++i) {
    const double angle = static_cast<double>(angles[i]);
    const double quarters = (angle * kTwoOverPi + kRound) - kRound;
    const auto r = static_cast<float>(angle - quarters * kHalfPi);
    const auto quadrant = static_cast<int>(quarters);
    const float z = r * r;
    const float sine = r + r * z * (-0.16666654612f + z * (0.00833216091f + z * -0.00019515302f));
    const float cosine = 1.0f - 0.5f * z + z * z * (0.04166664568f + z * (-0.00138873162f + z * 2.44331547e-5f));
    const bool odd = (quadrant & 1) != 0;
    const float s = odd ? cosine : sine;
    const float c = odd ? sine : cosine;
    sines[i] = ((quadrant & 2) != 0 ? -s : s) * scaling;
    cosines[i] = (((quadrant + 1) & 2) != 0 ? -c : c) * scaling;
  }
}

using SinesAndCosines = void (*)(const float*, int, float, float*, float*);

void sinesPortable(const float* angles, int count, float scaling, float* sines, float* cosines) {
  sinesAndCosines(angles, count, scaling, sines, cosines);
}

#if defined(__x86_64__)
[[gnu::target("avx2")]] void sinesAvx2(const float* angles, int count, float scaling, float* sines, float* cosines) {
  sinesAndCosines(angles, count, scaling, sines, cosines);
}
#endif

SinesAndCosines chooseSines() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2")) {
    return sinesAvx2;
  }
#endif
  return sinesPortable;
}

void turn(float* firsts, float* seconds, int step, int count, const float* sines, const float* cosines) {
  for (int m = 0; m < count; ++m) {
    const float x = firsts[m * step];
    const float y = seconds[m * step];
    firsts[m * step] = x * cosines[m] - y * sines[m];
    seconds[m * step] = y * cosines[m] + x * sines[m];
  }
}

}  // namespace

void rotate(const Rope& rope, std::span<const std::int64_t> positions, int dim, float* data) {
  static const SinesAndCosines sinesOf = chooseSines();
  const int channels = rope.channels();
  const auto scaling = static_cast<float>(rope.attentionScaling);
  float frequencies[kBlock], angles[kBlock], sines[kBlock], cosines[kBlock];
  for (int begin = 0; begin < channels; begin += kBlock) {
    const int count = std::min(kBlock, channels - begin);
    for (int m = 0; m < count; ++m) {
      frequencies[m] = static_cast<float>(rope.invFreq[static_cast<std::size_t>(begin + m)]);
    }
    float* row = data;
    for (const std::int64_t position : positions) {
      const auto at = static_cast<float>(position);
      for (int m = 0; m < count; ++m) {
        angles[m] = at * frequencies[m];
      }
      sinesOf(angles, count, scaling, sines, cosines);
      if (rope.pairing == RopePairing::Half) {
        turn(row + begin, row + begin + channels, 1, count, sines, cosines);
      } else {
        turn(row + 2 * begin, row + 2 * begin + 1, 2, count, sines, cosines);
      }
      row += dim;
    }
  }
}

void rotateExactly(const Rope& rope, std::span<const std::int64_t> positions, int dim, double* data) {
  const int channels = rope.channels();
  for (const std::int64_t position : positions) {
    for (int m = 0; m < channels; ++m) {
      const double angle = static_cast<double>(position) * rope.invFreq[static_cast<std::size_t>(m)];
      const double c = std::cos(angle) * rope.attentionScaling;
      const double s = std::sin(angle) * rope.attentionScaling;
      double& first = data[rope.first(m)];
      double& second = data[rope.second(m)];
      const double turned = first * c - second * s;
      second = second * c + first * s;
      first = turned;
    }
    data += dim;
  }
}

}  // namespace headscope
