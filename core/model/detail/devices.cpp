#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include <ATen/Version.h>

#include "core/base/error.h"
#include "core/gpu/cuda_runtime.h"
#include "core/model/detail/memory.h"
#include "core/model/model.h"

namespace headscope {
namespace {

std::string processorName() {
  std::ifstream stream("/proc/cpuinfo");
  std::string line;
  while (std::getline(stream, line)) {
    const std::size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) {
      return line.substr(colon + 2);
    }
  }
  return "processor";
}

DeviceInfo cpu() {
  DeviceInfo info;
  info.name = "cpu";
  info.description =
      concat(processorName(), ", ", std::thread::hardware_concurrency(), " threads, ", at::get_cpu_capability());
  info.totalBytes = totalBytes();
  info.freeBytes = availableBytes();
  return info;
}

}  // namespace

std::vector<DeviceInfo> listDevices() {
  std::vector<DeviceInfo> devices{cpu()};
  for (const GpuInfo& gpu : listGpus()) {
    devices.push_back({concat("cuda:", gpu.index), gpu.name, gpu.totalBytes, gpu.freeBytes});
  }
  return devices;
}

}  // namespace headscope
