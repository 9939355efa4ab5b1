#pragma once

// Which part of a model is on which device, and in which type. LibTorch header: internal to core/model.

#include <cstdint>
#include <string>
#include <vector>

#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include "core/gpu/cuda_runtime.h"
#include "core/model/detail/plan.h"
#include "core/model/model.h"

namespace headscope {

struct Place {
  c10::Device device{c10::kCPU};
  c10::ScalarType type = c10::kFloat;
  bool operator==(const Place&) const = default;
};

struct Placement {
  std::vector<Place> layers;
  Place embedding;  ///< and per-layer inputs
  Place head;       ///< and the final norm
  std::vector<std::string> notes;

  const Place& of(int tensorLayer) const;  ///< of a slot: Decoder::tensorLayers
  std::string device() const;              ///< "cpu", "cuda:0", "cuda:0+cuda:1", "cuda:0+cpu"
};

/// Layers in their order over `gpus`: all on the first one if they fit, else by free memory; what fits nowhere stays on
/// the host, in float32. Without GPUs all is on the host.
Placement placeModel(const plan::Decoder& decoder, const std::vector<GpuInfo>& gpus, c10::ScalarType type);

/// The arithmetic asked for; Auto: float32 on the host, the type of the weights on a GPU.
c10::ScalarType chooseType(ArithmeticType type, bool gpu, const std::string& storedType);

}  // namespace headscope
