#include "core/model/detail/engine.h"

#include <algorithm>
#include <thread>
#include <utility>

#include <ATen/Parallel.h>

#include "core/base/error.h"
#include "core/model/detail/cuda_runtime.h"

namespace headscope {
namespace {

at::Device chooseDevice(const std::string& name) {
  if (name == "cpu") {
    return at::kCPU;
  }
  const bool cuda = loadCuda();
  if (name == "auto") {
    return cuda ? at::Device(at::kCUDA, 0) : at::Device(at::kCPU);
  }
  const bool known = name == "cuda" || (name.starts_with("cuda:") && name.size() > 5 && name.size() < 9 &&
                                        name.find_first_not_of("0123456789", 5) == std::string::npos);
  if (!known) {
    throw Error("--device", concat("\"", name, "\" is not one of auto, cpu, cuda, cuda:N"), ErrorKind::Usage);
  }
  if (!cuda) {
    throw Error("--device", concat("\"", name,
                                   "\" can't be used: there is no NVIDIA driver, or LibTorch's CUDA "
                                   "libraries are not installed"));
  }
  const int index = name == "cuda" ? 0 : std::stoi(name.substr(5));
  return at::Device(at::kCUDA, static_cast<at::DeviceIndex>(index));
}

at::ScalarType chooseType(ArithmeticType type, const at::Device& device, const std::string& stored) {
  switch (type) {
    case ArithmeticType::F32:
      return at::kFloat;
    case ArithmeticType::BF16:
      return at::kBFloat16;
    case ArithmeticType::F16:
      return at::kHalf;
    case ArithmeticType::Auto:
      break;
  }
  if (device.is_cpu() || stored == "f32") {
    return at::kFloat;
  }
  return stored == "f16" ? at::kHalf : at::kBFloat16;
}

}  // namespace

std::string arithmeticName(at::ScalarType type) {
  return type == at::kFloat ? "f32" : type == at::kHalf ? "f16" : "bf16";
}

// Waking threads costs some microseconds at each of a layer's 20 or so operations.
void enterEngine(const Engine& engine, std::int64_t rows) {
  constexpr std::int64_t kWorkOfAThread = std::int64_t{1} << 22;  // multiplications in a layer
  cleanVectorState();
  const std::int64_t worth = 1 + rows * engine.layerParameters / kWorkOfAThread;
  at::set_num_threads(static_cast<int>(std::min<std::int64_t>(engine.threads, worth)));
}

Engine loadEngine(const std::filesystem::path& path, const ModelOptions& options, const JobControl& control) {
  Engine engine;
  engine.threads =
      options.threads > 0 ? options.threads : static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  cleanVectorState();
  at::set_num_threads(engine.threads);
  const at::Device device = chooseDevice(options.device);
  engine.files = openModelFiles(path);
  engine.type = chooseType(options.arithmetic, device, engine.files.weights->commonType());
  engine.layerParameters = parameterCount(engine.decoder()) / static_cast<std::int64_t>(engine.decoder().layers.size());
  engine.layerDevice.assign(engine.decoder().layers.size(), device);
  engine.embeddingDevice = engine.headDevice = device;
  engine.weights = loadWeights(
      engine.decoder(), engine.files.weights, engine.type, [device](int) { return device; }, control);
  return engine;
}

}  // namespace headscope
