#include "core/model/detail/attention.h"

#include <algorithm>
#include <atomic>
#include <limits>
#include <optional>
#include <tuple>
#include <vector>

#include <ATen/TensorOperators.h>
#include <ATen/ops/_efficient_attention_forward.h>
#include <ATen/ops/_flash_attention_forward.h>
#include <ATen/ops/_scaled_dot_product_cudnn_attention.h>
#include <ATen/ops/_scaled_dot_product_flash_attention_for_cpu.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/logaddexp.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/tanh.h>
#include <c10/util/Exception.h>

namespace headscope {
namespace {

constexpr std::int64_t kHostScores = std::int64_t{1} << 24;  // of one block: 64 MiB in float32
constexpr std::int64_t kGpuScores = std::int64_t{1} << 28;
constexpr std::int64_t kCudnnTokens = 128;  // shorter texts are not worth the plan that cuDNN makes for each shape

// Output [G, group, rows, D] and log-sum-exp [G, group, rows].
struct Partial {
  at::Tensor out, lse;
};

enum class Kernel { Blocks, HostFlash, GpuCudnn, GpuFlash, GpuEfficient };

// GPUs older than Ampere have no flash attention; the first refusal is remembered.
std::atomic<bool> gpuFlashWorks{true};
// cuDNN's kernel is the faster one on Hopper; it is asked first for whole texts.
std::atomic<bool> cudnnWorks{true};

Kernel kernelFor(const plan::Attention& attention, const at::Tensor& q, std::int64_t keys, AttentionPath path) {
  const bool window = attention.window && *attention.window < keys;
  if (path == AttentionPath::Blocks || attention.softcap) {
    return Kernel::Blocks;
  }
  if (q.is_cuda() && q.scalar_type() != at::kFloat) {
    const bool wholeText = q.size(1) == keys && keys >= kCudnnTokens;
    if (wholeText && !window && q.size(-1) % 8 == 0 && q.size(-1) <= 128 && cudnnWorks) {
      return Kernel::GpuCudnn;
    }
    return q.size(-1) % 8 == 0 && q.size(-1) <= 256 && gpuFlashWorks ? Kernel::GpuFlash : Kernel::Blocks;
  }
  if (window) {
    return Kernel::Blocks;
  }
  return !q.is_cuda() ? Kernel::HostFlash : q.size(-1) % 4 == 0 ? Kernel::GpuEfficient : Kernel::Blocks;
}

// k and v are shared by the heads of a group through a stride of 0.
Partial hostFlash(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, bool causal, double scale) {
  const std::int64_t group = q.size(1);
  const auto shared = [group](const at::Tensor& x) { return x.unsqueeze(1).expand({-1, group, -1, -1}); };
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
Partial attendOnHost(const plan::Attention& attention, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                     std::int64_t first) {
  const std::int64_t rows = q.size(2);
  const Partial own = hostFlash(q, k.narrow(1, first, rows), v.narrow(1, first, rows), rows > 1, attention.scale);
  if (first == 0) {
    return own;
  }
  return merge(hostFlash(q, k.narrow(1, 0, first), v.narrow(1, 0, first), false, attention.scale), own);
}

// As many queries as keys: the causal mask begins at the first key.
Attended attendWithCudnn(const plan::Attention& attention, const at::Tensor& q, const at::Tensor& k,
                         const at::Tensor& v, std::int64_t keys) {
  const std::int64_t group = q.size(0) / k.size(0);
  const auto shared = [&](const at::Tensor& x) {
    return x.narrow(1, 0, keys).unsqueeze(1).expand({-1, group, -1, -1}).reshape({1, q.size(0), keys, -1});
  };
  const auto result = at::_scaled_dot_product_cudnn_attention(q.unsqueeze(0), shared(k), shared(v), {}, true, 0.0, true,
                                                              false, attention.scale);
  const at::Tensor& out = std::get<0>(result);  // [1, H, rows, D]
  return {out.squeeze(0).transpose(0, 1).reshape({q.size(1), -1}),
          std::get<1>(result).reshape({q.size(0), -1}).to(at::kFloat)};
}

// Here the causal mask ends at the last key, and the kernel knows windows and grouped heads.
Attended attendWithGpuFlash(const plan::Attention& attention, const at::Tensor& q, const at::Tensor& k,
                            const at::Tensor& v, std::int64_t keys) {
  const auto rowsFirst = [](const at::Tensor& x) { return x.transpose(0, 1).unsqueeze(0); };
  const std::int64_t left = attention.window ? *attention.window - 1 : -1;  // -1: no limit
  const std::int64_t right = attention.window ? 0 : -1;
  const auto result =
      at::_flash_attention_forward(rowsFirst(q), rowsFirst(k.narrow(1, 0, keys)), rowsFirst(v.narrow(1, 0, keys)), {},
                                   {}, q.size(1), keys, 0.0, true, false, attention.scale, left, right);
  const at::Tensor& out = std::get<0>(result);  // [1, rows, H, D]
  return {out.reshape({q.size(1), -1}), std::get<1>(result).reshape({q.size(0), -1}).narrow(1, 0, q.size(1))};
}

// float32 on a GPU: [G, rows, group, D], the causal mask ends at the last key.
Partial attendEfficiently(const plan::Attention& attention, const at::Tensor& q, const at::Tensor& k,
                          const at::Tensor& v, std::int64_t keys) {
  constexpr std::int64_t kCausalFromBottomRight = 2;
  const std::int64_t group = q.size(1);
  const auto shared = [&](const at::Tensor& x) {
    return x.narrow(1, 0, keys).unsqueeze(2).expand({-1, -1, group, -1});
  };
  const auto result = at::_efficient_attention_forward(q.transpose(1, 2), shared(k), shared(v), {}, {}, {}, {}, {}, 0.0,
                                                       kCausalFromBottomRight, true, attention.scale);
  return {std::get<0>(result).transpose(1, 2), std::get<1>(result).narrow(-1, 0, q.size(2))};
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
  const std::int64_t limit = q.is_cuda() ? kGpuScores : kHostScores;
  const std::int64_t step = std::clamp<std::int64_t>(limit / (heads * span), 1, rows);
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

Attended assembled(const Partial& part, std::int64_t heads, std::int64_t rows) {
  const at::Tensor out = part.out.reshape({heads, rows, -1});
  return {out.transpose(0, 1).reshape({rows, -1}), part.lse.reshape({heads, rows}).to(at::kFloat)};
}

Attended attendWith(Kernel kernel, const plan::Attention& attention, const at::Tensor& q, const at::Tensor& k,
                    const at::Tensor& v, std::int64_t first) {
  const std::int64_t heads = q.size(0), rows = q.size(1);
  if (kernel == Kernel::GpuCudnn) {
    return attendWithCudnn(attention, q, k, v, first + rows);
  }
  if (kernel == Kernel::GpuFlash) {
    return attendWithGpuFlash(attention, q, k, v, first + rows);
  }
  const at::Tensor grouped = q.view({k.size(0), heads / k.size(0), rows, -1});
  const Partial part = kernel == Kernel::HostFlash      ? attendOnHost(attention, grouped, k, v, first)
                       : kernel == Kernel::GpuEfficient ? attendEfficiently(attention, grouped, k, v, first + rows)
                                                        : attendBlocks(attention, grouped, k, v, first);
  return assembled(part, heads, rows);
}

// exp(lse) / (exp(lse) + exp(sink)): the share of each row that the sink leaves over.
void leaveToSinks(const at::Tensor& sinks, Attended& attended) {
  const at::Tensor left = at::sigmoid(attended.lse - sinks.to(at::kFloat).unsqueeze(1)).t().unsqueeze(-1);
  const at::Tensor byHead = attended.mixed.unflatten(1, {left.size(1), -1});
  attended.mixed = (byHead * left).to(attended.mixed.scalar_type()).flatten(1);
}

}  // namespace

Attended attend(const plan::Attention& attention, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                const at::Tensor& sinks, std::int64_t first, AttentionPath path) {
  Attended attended;
  while (!attended.mixed.defined()) {
    const Kernel kernel = kernelFor(attention, q, first + q.size(1), path);
    try {
      attended = attendWith(kernel, attention, q, k, v, first);
    } catch (const c10::OutOfMemoryError&) {
      throw;
    } catch (const c10::Error&) {
      if (kernel != Kernel::GpuCudnn && kernel != Kernel::GpuFlash) {
        throw;
      }
      (kernel == Kernel::GpuCudnn ? cudnnWorks : gpuFlashWorks) = false;
    }
  }
  if (sinks.defined()) {
    leaveToSinks(sinks, attended);
  }
  return attended;
}

}  // namespace headscope
