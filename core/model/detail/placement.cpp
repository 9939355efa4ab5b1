#include "core/model/detail/placement.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "core/base/error.h"

namespace headscope {
namespace {

// Of a GPU's free memory: what activations, keys and the kernels' own buffers need.
constexpr double kUsableShare = 0.80;
constexpr double kReserve = 0.75e9;

double bytesOf(const plan::Tensor& tensor, std::size_t width) {
  double elements = 1;
  for (const std::int64_t size : tensor.shape) {
    elements *= static_cast<double>(size);
  }
  const double part =
      tensor.slab        ? 1 / static_cast<double>(tensor.shape.front())
      : tensor.count > 0 ? static_cast<double>(tensor.groups * tensor.count) / static_cast<double>(tensor.shape.front())
      : tensor.stacked.empty() ? 1.0
                               : static_cast<double>(1 + tensor.stacked.size());
  return elements * part * static_cast<double>(width);
}

// Bytes by layer; what comes before the first layer and behind the last counts for these.
std::vector<double> layerBytes(const plan::Decoder& decoder, std::size_t width) {
  std::vector<double> bytes(decoder.layers.size(), 0.0);
  const auto last = static_cast<int>(bytes.size()) - 1;
  for (std::size_t slot = 0; slot < decoder.tensors.size(); ++slot) {
    bytes[static_cast<std::size_t>(std::clamp(decoder.tensorLayers[slot], 0, last))] +=
        bytesOf(decoder.tensors[slot], width);
  }
  return bytes;
}

double usable(const GpuInfo& gpu) {
  return std::max(0.0, static_cast<double>(gpu.freeBytes) * kUsableShare - kReserve);
}

// How many bytes each GPU takes: all on the first, or shares by usable memory.
std::vector<double> shares(const std::vector<GpuInfo>& gpus, double total) {
  std::vector<double> room;
  std::transform(gpus.begin(), gpus.end(), std::back_inserter(room), usable);
  const double all = std::accumulate(room.begin(), room.end(), 0.0);
  if (room.front() >= total || all <= total) {
    return room;
  }
  std::for_each(room.begin(), room.end(), [&](double& bytes) { bytes *= total / all; });
  return room;
}

Place gpuPlace(const GpuInfo& gpu, c10::ScalarType type) {
  return {c10::Device(c10::kCUDA, static_cast<c10::DeviceIndex>(gpu.index)), type};
}

}  // namespace

const Place& Placement::of(int tensorLayer) const {
  if (tensorLayer < 0) {
    return embedding;
  }
  const auto layer = static_cast<std::size_t>(tensorLayer);
  return layer < layers.size() ? layers[layer] : head;
}

std::string Placement::device() const {
  std::string names;
  c10::Device last(c10::kMeta);
  for (const Place& place : layers) {
    if (place.device != last) {
      names = names.empty() ? place.device.str() : concat(names, "+", place.device.str());
      last = place.device;
    }
  }
  return names;
}

Placement placeModel(const plan::Decoder& decoder, const std::vector<GpuInfo>& gpus, c10::ScalarType type) {
  Placement placement;
  if (gpus.empty()) {
    placement.embedding = placement.head = {c10::kCPU, type};
    placement.layers.assign(decoder.layers.size(), placement.head);
    return placement;
  }
  const std::vector<double> bytes = layerBytes(decoder, c10::elementSize(type));
  const std::vector<double> room = shares(gpus, std::accumulate(bytes.begin(), bytes.end(), 0.0));
  std::size_t gpu = 0;
  double used = 0;
  for (const double own : bytes) {
    // A layer that begins within a share stays there, so that rounding pushes nothing behind the last GPU.
    while (gpu < gpus.size() && used + own / 2 > room[gpu]) {
      ++gpu;
      used = 0;
    }
    used += own;
    placement.layers.push_back(gpu < gpus.size() ? gpuPlace(gpus[gpu], type) : Place{c10::kCPU, c10::kFloat});
  }
  placement.embedding = placement.layers.front();
  placement.head = decoder.tied ? placement.embedding : placement.layers.back();
  const auto onHost = std::count(placement.layers.begin(), placement.layers.end(), Place{c10::kCPU, c10::kFloat});
  if (onHost > 0) {
    placement.notes.push_back(concat("GPU memory is not enough for all weights: ", onHost, " of ", bytes.size(),
                                     " layers run on the processor"));
  }
  return placement;
}

c10::ScalarType chooseType(ArithmeticType type, bool gpu, const std::string& storedType) {
  switch (type) {
    case ArithmeticType::F32:
      return c10::kFloat;
    case ArithmeticType::BF16:
      return c10::kBFloat16;
    case ArithmeticType::F16:
      return c10::kHalf;
    case ArithmeticType::Auto:
      break;
  }
  if (!gpu || storedType == "f32") {
    return c10::kFloat;
  }
  return storedType == "f16" ? c10::kHalf : c10::kBFloat16;
}

}  // namespace headscope
