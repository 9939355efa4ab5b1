#pragma once

// The inner loops of the analysis in double, compiled for AVX-512, AVX2 + FMA and plain x86-64, chosen at run time.
// Vectors of numbers are plain arrays; nothing here allocates.

#include <cstdint>

namespace headscope {

/// Keys (or other factors) in panels of 16, so that products with rows stream: [⌈rows/16⌉][width][16], zero padded.
constexpr std::int64_t kPanel = 16;

/// Sums over one row of probabilities.
struct RowSums {
  double mass = 0;      ///< Σ p
  double logit = 0;     ///< Σ p · a
  double position = 0;  ///< Σ p · i, i from 0 at the first element
};

/// What comparing measured values with bounds along one row gives.
struct RowTightness {
  std::int64_t pairs = 0;  ///< elements with bound > 0
  double measuredMax = 0, boundMax = 0;
  double ratioSum = 0, ratioMax = 0;  ///< measured / bound over the pairs
  double excessMax = 0;               ///< largest measured − bound, 0 if none exceeds
};

struct RowKernels {
  const char* name;

  /// out[r · stride + i] = scale · rows_r · factor_i for r < count and the keys of panels [firstPanel, lastPanel);
  /// i counts from firstPanel · 16. rows: [count, width].
  void (*product)(const double* rows, std::int64_t count, std::int64_t width, const double* panels,
                  std::int64_t firstPanel, std::int64_t lastPanel, double scale, double* out, std::int64_t stride);
  /// p_i = exp(a_i − shift); returns the sums.
  RowSums (*exponentials)(const double* a, std::int64_t n, double shift, double* p);
  double (*maximum)(const double* a, std::int64_t n);          ///< −inf if n is 0
  double (*absoluteMaximum)(const double* a, std::int64_t n);  ///< 0 if n is 0
  double (*sum)(const double* a, std::int64_t n);
  double (*dot)(const double* a, const double* b, std::int64_t n);
  double (*squaredDistance)(const double* a, const double* b, std::int64_t n);
  /// Σ p_i · max(u_i, v_i)
  double (*maskedSum)(const double* p, const double* u, const double* v, std::int64_t n);
  double (*overlap)(const double* a, const double* b, std::int64_t n);             ///< Σ min(a_i, b_i)
  void (*add)(const double* a, std::int64_t n, double* sum);                       ///< sum_i += a_i
  void (*addScaled)(const double* a, double factor, std::int64_t n, double* sum);  ///< sum_i += factor · a_i
  void (*lengths)(const double* x, const double* y, std::int64_t n, double* out);  ///< out_i = √(x_i² + y_i²)
  /// cross += q conj(k), power += weight · |q|², element by element of complex q and k.
  void (*crossPower)(const double* qRe, const double* qIm, const double* kRe, const double* kIm, double weight,
                     std::int64_t n, double* crossRe, double* crossIm, double* power);
  /// measured = |a_i − b_i| against bound_i.
  RowTightness (*tightness)(const double* a, const double* b, const double* bound, std::int64_t n);
};

/// The best that this processor runs.
const RowKernels& rowKernels();
/// All that this processor runs, the plain one first: tests compare them.
const RowKernels* const* allRowKernels(int& count);

}  // namespace headscope
