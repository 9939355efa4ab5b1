#if defined(__x86_64__)

#include <immintrin.h>

#include "core/maps/kernel_sets.h"

// GCC 12 takes the "undefined" operand inside its own intrinsics for a mistake (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"

#pragma GCC push_options
#pragma GCC target("avx512f,avx512dq,avx512vl,avx512bw,avx2,fma")

namespace headscope {
namespace avx512 {
namespace {

using V = __m512;
constexpr int kWidth = 16;
constexpr int kVectors = 2;
constexpr int kKeys = 8;

inline V load(const float* at) {
  return _mm512_loadu_ps(at);
}
inline void store(float* at, V v) {
  _mm512_storeu_ps(at, v);
}
inline V broadcast(float x) {
  return _mm512_set1_ps(x);
}
inline V add(V a, V b) {
  return _mm512_add_ps(a, b);
}
inline V subtract(V a, V b) {
  return _mm512_sub_ps(a, b);
}
inline V multiply(V a, V b) {
  return _mm512_mul_ps(a, b);
}
inline V divide(V a, V b) {
  return _mm512_div_ps(a, b);
}
inline V multiplyAdd(V a, V b, V c) {
  return _mm512_fmadd_ps(a, b, c);
}
inline V larger(V a, V b) {
  return _mm512_max_ps(a, b);
}
inline V smaller(V a, V b) {
  return _mm512_min_ps(a, b);
}
inline bool anyAbove(V a, V limit) {
  return _mm512_cmp_ps_mask(a, limit, _CMP_NLE_UQ) != 0;
}
inline V chooseBelow(V x, V limit, V below, V otherwise) {
  return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(x, limit, _CMP_LT_OQ), otherwise, below);
}
inline V fractionPower(V f);
// 2^y = 2^⌊y⌋ · 2^(y − ⌊y⌋); both instructions give the limits at −inf.
inline V power(V y) {
  return _mm512_scalef_ps(fractionPower(_mm512_reduce_ps(y, 1)), y);
}

#include "core/maps/kernel_loops.h"

}  // namespace

const Kernels kSet = makeKernels("avx512", 64);

}  // namespace avx512
}  // namespace headscope

#pragma GCC pop_options

#endif
