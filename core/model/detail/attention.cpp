#include "core/model/detail/attention.h"

#include <algorithm>
#include <limits>
#include <tuple>

#include <ATen/TensorOperators.h>
#include <ATen/ops/_scaled_dot_product_flash_attention.h>
#include <ATen/ops/_scaled_dot_product_flash_attention_for_cpu.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/logaddexp.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/tanh.h>

namespace headscope {
namespace {

constexpr std::int64_t kScoreElements = std::int64_t{1} << 24;  // of one block's scores: 64 MiB in float32

// Output [G, group, rows, D] and log-sum-exp [G, group, rows] of one call.
struct Partial {
  at::Tensor out, lse;
};

// k and v are shared by the heads of a group through a stride of 0.
Partial flash(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, bool causal, double scale) {
  const std::int64_t group = q.size(1);
  const auto shared = [group](const at::Tensor& x) { return x.unsqueeze(1).expand({-1, group, -1, -1}); };
  if (q.is_cuda()) {
    const auto result = at::_scaled_dot_product_flash_attention(q, shared(k), shared(v), 0.0, causal, false, scale);
    return {std::get<0>(result), std::get<1>(result).narrow(-1, 0, q.size(2))};
  }
  const auto [out, lse] =
      at::_scaled_dot_product_flash_attention_for_cpu(q, shared(k), shared(v), 0.0, causal, {}, scale);
  return {out, lse};
}

Partial merge(const Partial& a, const Partial& b) {
  const at::Tensor lse = at::logaddexp(a.lse, b.lse);
  const at::Tensor out = a.out * (a.lse - lse).exp().unsqueeze(-1) + b.out * (b.lse - lse).exp().unsqueeze(-1);
  return {out.to(a.out.scalar_type()), lse};
}

// The kernel's causal mask starts at its first key: keys before the block are one call, those within another.
Partial attendFused(const plan::Attention& attention, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                    std::int64_t first) {
  const std::int64_t rows = q.size(2);
  const Partial own = flash(q, k.narrow(1, first, rows), v.narrow(1, first, rows), rows > 1, attention.scale);
  if (first == 0) {
    return own;
  }
  return merge(flash(q, k.narrow(1, 0, first), v.narrow(1, 0, first), false, attention.scale), own);
}

// −inf where key j is not visible to query i: j > i, or j ≤ i − window.
at::Tensor hidden(std::int64_t firstRow, std::int64_t rows, std::int64_t firstKey, std::int64_t keys,
                  const std::optional<std::int64_t>& window, const at::Device& device) {
  const at::TensorOptions options = at::TensorOptions().dtype(at::kLong).device(device);
  const at::Tensor i = at::arange(firstRow, firstRow + rows, options).unsqueeze(1);
  const at::Tensor j = at::arange(firstKey, firstKey + keys, options).unsqueeze(0);
  const at::Tensor outside = j > i;
  return window ? outside.logical_or(j <= i - *window) : outside;
}

Partial attendRows(const plan::Attention& attention, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                   std::int64_t first) {
  const std::int64_t rows = q.size(2);
  const std::int64_t firstKey = attention.window ? std::max<std::int64_t>(0, first - *attention.window + 1) : 0;
  const std::int64_t keys = first + rows - firstKey;
  const at::Tensor visibleK = k.narrow(1, firstKey, keys);
  const at::Tensor visibleV = v.narrow(1, firstKey, keys);
  const std::int64_t groups = q.size(0);
  at::Tensor scores = at::matmul(q.reshape({groups, -1, q.size(3)}), visibleK.transpose(1, 2)).to(at::kFloat);
  scores = scores * attention.scale;
  if (attention.softcap) {
    scores = at::tanh(scores / *attention.softcap) * *attention.softcap;
  }
  scores = scores.view({groups, q.size(1), rows, keys});
  scores = scores.masked_fill(hidden(first, rows, firstKey, keys, attention.window, q.device()),
                              -std::numeric_limits<float>::infinity());
  const at::Tensor lse = at::logsumexp(scores, -1);
  const at::Tensor weights = (scores - lse.unsqueeze(-1)).exp().to(v.scalar_type());
  const at::Tensor out = at::matmul(weights.view({groups, -1, keys}), visibleV);
  return {out.view({groups, q.size(1), rows, -1}), lse};
}

Partial attendBlocks(const plan::Attention& attention, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                     std::int64_t first) {
  const std::int64_t rows = q.size(2);
  const std::int64_t span = attention.window ? std::min(first + rows, *attention.window + rows) : first + rows;
  const std::int64_t heads = q.size(0) * q.size(1);
  const std::int64_t step = std::clamp<std::int64_t>(kScoreElements / (heads * span), 1, rows);
  if (step == rows) {
    return attendRows(attention, q, k, v, first);
  }
  std::vector<at::Tensor> outs, lses;
  for (std::int64_t row = 0; row < rows; row += step) {
    const std::int64_t count = std::min(step, rows - row);
    const Partial part = attendRows(attention, q.narrow(2, row, count), k, v, first + row);
    outs.push_back(part.out);
    lses.push_back(part.lse);
  }
  return {at::cat(outs, 2), at::cat(lses, 2)};
}

}  // namespace

bool fusedApplies(const plan::Attention& attention, std::int64_t keys) {
  return !attention.softcap && (!attention.window || *attention.window >= keys);
}

Attended attend(const plan::Attention& attention, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                const at::Tensor& sinks, std::int64_t first, AttentionPath path) {
  const std::int64_t heads = q.size(0);
  const std::int64_t rows = q.size(1);
  const std::int64_t groups = k.size(0);
  const at::Tensor grouped = q.view({groups, heads / groups, rows, -1});
  const bool fused = path != AttentionPath::Blocks && fusedApplies(attention, first + rows);
  const Partial part =
      fused ? attendFused(attention, grouped, k, v, first) : attendBlocks(attention, grouped, k, v, first);
  Attended result;
  result.lse = part.lse.reshape({heads, rows}).to(at::kFloat);
  at::Tensor out = part.out.reshape({heads, rows, -1});
  if (sinks.defined()) {
    // exp(lse) / (exp(lse) + exp(sink)): the share of each row that the sink leaves over.
    const at::Tensor left = at::sigmoid(result.lse - sinks.to(at::kFloat).unsqueeze(1));
    out = (out * left.unsqueeze(-1)).to(out.scalar_type());
  }
  result.mixed = out.transpose(0, 1).reshape({rows, -1});
  return result;
}

}  // namespace headscope
