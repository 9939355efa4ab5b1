#include "core/maps/kernels.h"

#include <atomic>
#include <cstdlib>

#include "core/maps/kernel_sets.h"

namespace headscope {
namespace {

const Kernels* named(std::string_view name) {
  for (const Kernels* candidate : availableKernels()) {
    if (name == candidate->name) {
      return candidate;
    }
  }
  return nullptr;
}

const Kernels* initial() {
  const char* wish = std::getenv("HEADSCOPE_KERNELS");
  const Kernels* found = wish != nullptr ? named(wish) : nullptr;
  return found != nullptr ? found : availableKernels().front();
}

std::atomic<const Kernels*>& chosen() {
  static std::atomic<const Kernels*> kernels{initial()};
  return kernels;
}

}  // namespace

std::vector<const Kernels*> availableKernels() {
  std::vector<const Kernels*> sets;
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512bw")) {
    sets.push_back(&avx512::kSet);
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    sets.push_back(&avx2::kSet);
  }
#endif
  sets.push_back(&portable::kSet);
  return sets;
}

const Kernels& kernels() {
  return *chosen().load(std::memory_order_relaxed);
}

bool useKernels(std::string_view name) {
  const Kernels* found = name.empty() ? availableKernels().front() : named(name);
  if (found != nullptr) {
    chosen().store(found, std::memory_order_relaxed);
  }
  return found != nullptr;
}

}  // namespace headscope
