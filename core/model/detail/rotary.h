#pragma once

// Rotary position embedding on tensors. LibTorch header: internal to core/model.

#include <cstdint>

#include <ATen/core/Tensor.h>

#include "core/rope/rope.h"

namespace headscope {

/// cos and sin [tokens, R/2] in float32, × the attention scaling.
struct RotaryTable {
  at::Tensor cos, sin;
  RopePairing pairing = RopePairing::Half;
  std::int64_t dims = 0;
};
/// For positions first … first + count − 1; angles are float32 products, as Hugging Face computes them.
RotaryTable rotaryTable(const Rope& rope, std::int64_t first, std::int64_t count, const at::Device& device);
/// x [..., tokens, heads, D]
at::Tensor rotate(const RotaryTable& table, const at::Tensor& x);
/// Without autograd: x [rows, heads, D] into `target` [heads, rows, D] of the same type, in few passes over memory.
void rotateInto(const RotaryTable& table, const at::Tensor& x, const at::Tensor& target);

}  // namespace headscope
