#include "core/analysis/row_kernels.h"

#include <array>
#include <cstddef>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace headscope {
namespace {

namespace plain {
typedef double Wide __attribute__((vector_size(16)));
typedef std::int64_t WideBits __attribute__((vector_size(16)));
constexpr int kLanes = 2, kRowsAtOnce = 4;
constexpr const char* kName = "plain";
inline Wide multiplyAdd(Wide a, Wide b, Wide c) {
  return a * b + c;
}
inline Wide squareRoot(Wide a) {
  return Wide{__builtin_sqrt(a[0]), __builtin_sqrt(a[1])};
}
#include "core/analysis/row_kernels.inl"
}  // namespace plain

#if defined(__x86_64__)
#pragma GCC push_options
#pragma GCC target("avx2,fma")
namespace avx2 {
typedef double Wide __attribute__((vector_size(32)));
typedef std::int64_t WideBits __attribute__((vector_size(32)));
constexpr int kLanes = 4, kRowsAtOnce = 6;
constexpr const char* kName = "avx2";
inline Wide multiplyAdd(Wide a, Wide b, Wide c) {
  return _mm256_fmadd_pd(a, b, c);
}
inline Wide squareRoot(Wide a) {
  return _mm256_sqrt_pd(a);
}
#include "core/analysis/row_kernels.inl"
}  // namespace avx2
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("avx512f,avx2,fma")
namespace avx512 {
typedef double Wide __attribute__((vector_size(64)));
typedef std::int64_t WideBits __attribute__((vector_size(64)));
constexpr int kLanes = 8, kRowsAtOnce = 8;
constexpr const char* kName = "avx512";
inline Wide multiplyAdd(Wide a, Wide b, Wide c) {
  return _mm512_fmadd_pd(a, b, c);
}
inline Wide squareRoot(Wide a) {
  return _mm512_maskz_sqrt_pd(0xFF, a);  // the plain one warns of an uninitialised value in GCC 12
}
#include "core/analysis/row_kernels.inl"
}  // namespace avx512
#pragma GCC pop_options
#endif

struct Available {
  std::array<const RowKernels*, 3> kernels{&plain::kKernels};
  int count = 1;

  Available() {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
      kernels[static_cast<std::size_t>(count++)] = &avx2::kKernels;
      if (__builtin_cpu_supports("avx512f")) {
        kernels[static_cast<std::size_t>(count++)] = &avx512::kKernels;
      }
    }
#endif
  }
};

const Available& available() {
  static const Available found;
  return found;
}

}  // namespace

const RowKernels& rowKernels() {
  return *available().kernels[static_cast<std::size_t>(available().count - 1)];
}

const RowKernels* const* allRowKernels(int& count) {
  count = available().count;
  return available().kernels.data();
}

}  // namespace headscope
