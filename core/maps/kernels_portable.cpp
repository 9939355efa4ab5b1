#include <cstddef>

#include "core/maps/kernel_sets.h"

// Vectors of the compiler (GCC, Clang), for any processor: SSE2 on x86-64, NEON on ARM.

namespace headscope {
namespace portable {
namespace {

typedef float V __attribute__((vector_size(16)));
typedef int Integers __attribute__((vector_size(16)));
constexpr int kWidth = 4;
constexpr int kVectors = 2;
constexpr int kKeys = 4;

inline V load(const float* at) {
  V v;
  __builtin_memcpy(&v, at, sizeof v);
  return v;
}
inline void store(float* at, V v) {
  __builtin_memcpy(at, &v, sizeof v);
}
inline V broadcast(float x) {
  return V{x, x, x, x};
}
inline V add(V a, V b) {
  return a + b;
}
inline V subtract(V a, V b) {
  return a - b;
}
inline V multiply(V a, V b) {
  return a * b;
}
inline V divide(V a, V b) {
  return a / b;
}
inline V multiplyAdd(V a, V b, V c) {
  return a * b + c;
}
inline V larger(V a, V b) {
  return a > b ? a : b;
}
inline V smaller(V a, V b) {
  return a < b ? a : b;
}
inline bool anyAbove(V a, V limit) {
  const Integers below = a <= limit;
  return (below[0] & below[1] & below[2] & below[3]) == 0;
}
inline V chooseBelow(V x, V limit, V below, V otherwise) {
  return x < limit ? below : otherwise;
}
inline V fractionPower(V f);
// 2^y = 2^⌊y⌋ · 2^(y − ⌊y⌋), the first by its exponent bits; below 2^−126 it is 0.
inline V power(V y) {
  const V bounded = smaller(larger(y, broadcast(-127.0f)), broadcast(127.0f));
  const V truncated = __builtin_convertvector(__builtin_convertvector(bounded, Integers), V);
  const V whole = truncated > bounded ? truncated - 1.0f : truncated;
  const Integers bits = (__builtin_convertvector(whole, Integers) + 127) << 23;
  return multiply(fractionPower(subtract(bounded, whole)), (V)bits);
}

#include "core/maps/kernel_loops.h"

}  // namespace

const Kernels kSet = makeKernels("portable", 64);

}  // namespace portable
}  // namespace headscope
