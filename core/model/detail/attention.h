#pragma once

// Causal softmax attention in blocks of query rows, with the log-sum-exp of every row. No tokens × tokens buffer.
// LibTorch header: internal to core/model.

#include <cstdint>

#include <ATen/core/Tensor.h>

#include "core/model/detail/plan.h"

namespace headscope {

enum class AttentionPath {
  Auto,    ///< LibTorch's fused kernels where they can do the layer's attention
  Blocks,  ///< matrix product, softmax, matrix product over the visible keys of a block of queries
};

struct Attended {
  at::Tensor mixed;  ///< [rows, H·D]
  at::Tensor lse;    ///< [H, rows] float32: ln Σ exp(logit) over visible keys, without the sink
};

/// Query rows first … first + q.size(1) − 1 against the keys before and at each of them.
/// `q` [H, rows, D] and `k`, `v` [G, keys ≥ first + rows, D] as the dot product reads them; query head h reads KV
/// head h / (H/G). `sinks` [H] or undefined.
Attended attend(const plan::Attention& attention, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                const at::Tensor& sinks, std::int64_t first, AttentionPath path = AttentionPath::Auto);

}  // namespace headscope
