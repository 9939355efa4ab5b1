#include "core/gpu/cuda_runtime.h"

#include <dlfcn.h>

#include <array>
#include <filesystem>
#include <system_error>

#include <ATen/Context.h>
#include <c10/core/CachingDeviceAllocator.h>

#include "core/base/error.h"

namespace headscope {
namespace {

namespace fs = std::filesystem;

// The driver's library, kept open: its C interface gives the devices' names without a CUDA header.
void* driver() {
  static void* const library = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL);
  return library;
}

template <typename Function>
Function driverFunction(const char* name) {
  return reinterpret_cast<Function>(dlsym(driver(), name));
}

std::string deviceName(int index) {
  const auto getDevice = driverFunction<int (*)(int*, int)>("cuDeviceGet");
  const auto getName = driverFunction<int (*)(char*, int, int)>("cuDeviceGetName");
  std::array<char, 256> name{};
  int device = 0;
  const bool known = getDevice != nullptr && getName != nullptr && getDevice(&device, index) == 0 &&
                     getName(name.data(), static_cast<int>(name.size()) - 1, device) == 0;
  return known ? std::string(name.data()) : "NVIDIA GPU";
}

// The folder of the library that defines at::globalContext(): libtorch_cpu.so's.
fs::path libraryFolder() {
  Dl_info info{};
  const auto* address = reinterpret_cast<const void*>(&at::globalContext);
  if (dladdr(address, &info) == 0 || info.dli_fname == nullptr) {
    return {};
  }
  std::error_code ignored;
  return fs::weakly_canonical(info.dli_fname, ignored).parent_path();
}

bool load() {
  if (driver() == nullptr) {
    return false;
  }
  const fs::path beside = libraryFolder() / "libtorch_cuda.so";
  if (dlopen(beside.c_str(), RTLD_NOW | RTLD_GLOBAL) == nullptr &&
      dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL) == nullptr) {
    return false;
  }
  return at::hasCUDA();
}

}  // namespace

bool loadCuda() {
  static const bool loaded = load();
  return loaded;
}

std::vector<GpuInfo> listGpus() {
  std::vector<GpuInfo> gpus;
  if (!loadCuda()) {
    return gpus;
  }
  at::globalContext().lazyInitDevice(at::kCUDA);
  const auto count = static_cast<int>(at::detail::getCUDAHooks().deviceCount());
  for (int index = 0; index < count; ++index) {
    const auto [free, total] = at::getDeviceAllocator(at::kCUDA)->getMemoryInfo(static_cast<c10::DeviceIndex>(index));
    gpus.push_back({index, deviceName(index), total, free});
  }
  return gpus;
}

std::vector<GpuInfo> namedGpus(const std::string& device) {
  if (device == "cpu") {
    return {};
  }
  const bool one = device.starts_with("cuda:") && device.size() > 5 && device.size() < 9 &&
                   device.find_first_not_of("0123456789", 5) == std::string::npos;
  if (device != "auto" && device != "cuda" && !one) {
    throw Error("--device", concat("\"", device, "\" is not one of auto, cpu, cuda, cuda:N"), ErrorKind::Usage);
  }
  std::vector<GpuInfo> gpus = listGpus();
  if (one) {
    std::erase_if(gpus, [index = std::stoi(device.substr(5))](const GpuInfo& gpu) { return gpu.index != index; });
  }
  if (gpus.empty() && device != "auto") {
    throw Error("--device", concat("\"", device,
                                   "\" can't be used: there is no such GPU, no NVIDIA driver, or LibTorch's "
                                   "CUDA libraries are not installed"));
  }
  return gpus;
}

}  // namespace headscope
