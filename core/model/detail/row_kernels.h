#pragma once

// Two steps that LibTorch needs five passes over memory for, in one pass: only for float32 on the CPU without
// autograd. LibTorch header: internal to core/model.

#include <ATen/core/Tensor.h>

#include "core/model/detail/rotary.h"

namespace headscope {

/// True if the kernels may be used for `x`.
bool rowKernelsApply(const at::Tensor& x);

/// x · rsqrt(mean(x²) + eps) · (weight or 1 + weight) over the last axis; `weight` [n] or undefined.
at::Tensor rmsNormRows(const at::Tensor& x, const at::Tensor& weight, double eps, bool plusOne);

/// Rotates `x` [rows, heads, D] into `target` [heads, rows, D], whose last axis is contiguous; table rows 0 … rows − 1.
void rotateRowsInto(const RotaryTable& table, const at::Tensor& x, const at::Tensor& target);

}  // namespace headscope
