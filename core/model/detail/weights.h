#pragma once

// The weights of a plan as tensors. LibTorch header: internal to core/model.

#include <functional>
#include <map>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "core/base/job_control.h"
#include "core/model/detail/placement.h"
#include "core/model/detail/plan.h"
#include "core/model/detail/weight_files.h"

namespace headscope {

/// Tensors by slot (plan::Tensor::slot).
class Weights {
 public:
  explicit Weights(std::size_t slots) : slots_(slots) {}

  /// Undefined if the plan has no such tensor.
  const at::Tensor& operator[](const plan::Tensor& tensor) const {
    return tensor ? slots_[static_cast<std::size_t>(tensor.slot)] : none_;
  }
  void set(int slot, at::Tensor value) { slots_[static_cast<std::size_t>(slot)] = std::move(value); }

 private:
  std::vector<at::Tensor> slots_;
  at::Tensor none_;
};

/// The part of `stored` that `tensor` asks for: a view where that is possible. Differentiable.
at::Tensor takePart(const at::Tensor& stored, const plan::Tensor& tensor);

/// Named tensors (a model in training) as the plan's weights; throws Error for a missing name or a wrong shape.
Weights namedWeights(const plan::Decoder& decoder, const std::map<std::string, at::Tensor>& named);

/// Reads every tensor from `files`, one at a time, in the type and to the device that `placeOf` says for its slot.
/// Plain tensors of that very type stay in the mapped file where the device is the CPU.
Weights loadWeights(const plan::Decoder& decoder, const std::shared_ptr<const WeightFiles>& files,
                    const std::function<Place(int slot)>& placeOf, const JobControl& control);

}  // namespace headscope
