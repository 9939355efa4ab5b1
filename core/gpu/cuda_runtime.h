#pragma once

// Brings LibTorch's CUDA half in at run time, so that one program serves machines with and without a GPU.

#include <cstdint>
#include <string>
#include <vector>

namespace headscope {

/// Loads libtorch_cuda.so from beside libtorch_cpu.so, once, if this machine has an NVIDIA driver. To be called before
/// any CUDA query: LibTorch remembers the first answer for good. Returns whether CUDA devices can be used.
bool loadCuda();

struct GpuInfo {
  int index = 0;
  std::string name;
  std::uint64_t totalBytes = 0, freeBytes = 0;
};
/// Empty without a GPU.
std::vector<GpuInfo> listGpus();
/// The GPUs that a --device value names, none for "cpu"; throws Usage for unknown names, Input for what is not there.
std::vector<GpuInfo> namedGpus(const std::string& device);

}  // namespace headscope
