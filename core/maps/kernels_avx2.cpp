#if defined(__x86_64__)

#include <immintrin.h>

#include "core/maps/kernel_sets.h"

#pragma GCC push_options
#pragma GCC target("avx2,fma")

namespace headscope {
namespace avx2 {
namespace {

using V = __m256;
constexpr int kWidth = 8;
constexpr int kVectors = 2;
constexpr int kKeys = 6;

inline V load(const float* at) {
  return _mm256_loadu_ps(at);
}
inline void store(float* at, V v) {
  _mm256_storeu_ps(at, v);
}
inline V broadcast(float x) {
  return _mm256_set1_ps(x);
}
inline V add(V a, V b) {
  return _mm256_add_ps(a, b);
}
inline V subtract(V a, V b) {
  return _mm256_sub_ps(a, b);
}
inline V multiply(V a, V b) {
  return _mm256_mul_ps(a, b);
}
inline V divide(V a, V b) {
  return _mm256_div_ps(a, b);
}
inline V multiplyAdd(V a, V b, V c) {
  return _mm256_fmadd_ps(a, b, c);
}
inline V larger(V a, V b) {
  return _mm256_max_ps(a, b);
}
inline V smaller(V a, V b) {
  return _mm256_min_ps(a, b);
}
inline bool anyAbove(V a, V limit) {
  return _mm256_movemask_ps(_mm256_cmp_ps(a, limit, _CMP_NLE_UQ)) != 0;
}
inline V chooseBelow(V x, V limit, V below, V otherwise) {
  return _mm256_blendv_ps(otherwise, below, _mm256_cmp_ps(x, limit, _CMP_LT_OQ));
}
inline V fractionPower(V f);
// 2^y = 2^⌊y⌋ · 2^(y − ⌊y⌋), the first by its exponent bits; below 2^−126 it is 0.
inline V power(V y) {
  const V bounded = larger(y, broadcast(-127.0f));
  const V whole = _mm256_floor_ps(bounded);
  const V scale =
      _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(whole), _mm256_set1_epi32(127)), 23));
  return multiply(fractionPower(subtract(bounded, whole)), scale);
}

#include "core/maps/kernel_loops.h"

}  // namespace

const Kernels kSet = makeKernels("avx2", 60);

}  // namespace avx2
}  // namespace headscope

#pragma GCC pop_options

#endif
