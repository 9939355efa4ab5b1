#pragma once

// The arithmetic of a map, once per instruction set, chosen when the program runs. A panel is a block of query rows
// with one row in each lane: queries lie transposed [dim, lanes], so that keys are read as they lie in memory and
// everything per row (running maximum, sum, log-sum-exp) stays in its lane.
//
// "y" is a block of logits in base 2, key-major: y[key · lanes + row].

#include <cstddef>
#include <string_view>
#include <vector>

namespace headscope {

struct Kernels {
  const char* name;  ///< "avx512", "avx2", "portable"
  int lanes;         ///< query rows of a panel
  int block;         ///< keys of a block of y that suits the first-level cache

  /// y = init[lane] + Σ_d panel[d, lane] · keys[key, d] for `count` keys of `dim` floats each.
  void (*product)(const float* panel, const float* keys, int dim, int count, const float* init, float* y);

  /// y = cap · tanh(y) + init[lane].
  void (*softcap)(float* y, int count, float cap, const float* init);

  /// max[lane] = max(max[lane], y); sum[lane] += 2^y. Powers below 2^−44 may be left out.
  void (*maxAndSum)(const float* y, int count, float* max, float* sum);

  /// max[lane] = max(max[lane], y).
  void (*maxOnly)(const float* y, int count, float* max);

  /// Online softmax (Milakov and Gimelshein 2018, arXiv 1805.02867): keeps sum[lane] = Σ 2^(y − max[lane]).
  /// max starts at kNothing, sum at 0.
  void (*onlineSum)(const float* y, int count, float* max, float* sum);

  /// values = 2^values; −inf gives 0.
  void (*powers)(float* values, std::size_t count);

  float (*largest)(const float* lanes);
  float (*largestOfSum)(const float* lanes, const float* added);  ///< max of lanes + added
  float (*total)(const float* lanes);
};

/// A maximum of nothing that stays finite, so that differences of it are no NaN.
constexpr float kNothing = -1e30f;

/// The fastest that this processor can run, or the one that useKernels() or the environment variable HEADSCOPE_KERNELS
/// (avx512, avx2, portable) says.
const Kernels& kernels();

/// All that this processor can run, the fastest first.
std::vector<const Kernels*> availableKernels();

/// For tests and benchmarks; an empty name goes back to the fastest. False if this processor can't run them.
bool useKernels(std::string_view name);

}  // namespace headscope
