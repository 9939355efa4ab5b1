#include "core/base/job_control.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace headscope {

#if defined(__x86_64__)
namespace {

__attribute__((target("avx"))) void zeroUpper() noexcept {
  _mm256_zeroupper();
}

}  // namespace

void cleanVectorState() noexcept {
  if (__builtin_cpu_supports("avx")) {
    zeroUpper();
  }
}
#else
void cleanVectorState() noexcept {}
#endif

}  // namespace headscope
