#include "core/model/detail/engine.h"

#include <algorithm>
#include <cmath>
#include <thread>
#include <utility>

#include <ATen/Parallel.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include "core/model/detail/kept_rows.h"

namespace headscope {

bool Engine::usesGpu() const {
  return std::any_of(placement.layers.begin(), placement.layers.end(),
                     [](const Place& place) { return place.device.is_cuda(); });
}

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

bool gpuHasRoom(const Engine& engine, std::uint64_t bytes) {
  const auto enough = [&] {
    const std::vector<Place>& layers = engine.placement.layers;
    return std::all_of(layers.begin(), layers.end(), [bytes](const Place& place) {
      return place.device.is_cpu() ||
             at::getDeviceAllocator(at::kCUDA)->getMemoryInfo(place.device.index()).first > bytes + bytes / 8;
    });
  };
  if (!engine.usesGpu() || enough()) {
    return true;
  }
  at::getDeviceAllocator(at::kCUDA)->emptyCache();
  return enough();
}

void synchronize(const Engine& engine) {
  for (const Place& place : engine.placement.layers) {
    if (place.device.is_cuda()) {
      c10::impl::VirtualGuardImpl(c10::DeviceType::CUDA).synchronizeDevice(place.device.index());
    }
  }
}

namespace {

// Attention kernels turn rows of NaN into zeros, so that damage in these tensors would not show in a run's results;
// what other tensors hold does (prefill.cpp).
void demandFiniteProjections(const Engine& engine) {
  for (const plan::Layer& layer : engine.decoder().layers) {
    const plan::Attention& attention = layer.attention;
    for (const plan::Tensor* tensor : {&attention.q.weight, &attention.q.bias, &attention.k.weight, &attention.k.bias,
                                       &attention.qNorm.weight, &attention.kNorm.weight}) {
      if (*tensor && !std::isfinite(engine.weights[*tensor].sum(at::kFloat).item<float>())) {
        throw Error(engine.files.weights->fileOf(tensor->name).string(),
                    concat("tensor \"", tensor->name, "\" holds NaN or infinity"));
      }
    }
  }
}

}  // namespace

Engine loadEngine(const std::filesystem::path& path, const ModelOptions& options, const JobControl& control) {
  Engine engine;
  engine.threads =
      options.threads > 0 ? options.threads : static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  cleanVectorState();
  at::set_num_threads(engine.threads);
  dropKeptRows();  // the memory that a placement counts on
  const std::vector<GpuInfo> gpus = namedGpus(options.device);
  engine.files = openModelFiles(path);
  const plan::Decoder& decoder = engine.decoder();
  const at::ScalarType type = chooseType(options.arithmetic, !gpus.empty(), engine.files.weights->commonType());
  engine.placement = placeModel(decoder, gpus, type);
  engine.layerParameters = parameterCount(decoder) / engine.layers();
  engine.weights = loadWeights(
      decoder, engine.files.weights,
      [&](int slot) { return engine.placement.of(decoder.tensorLayers[static_cast<std::size_t>(slot)]); }, control);
  demandFiniteProjections(engine);
  return engine;
}

}  // namespace headscope
