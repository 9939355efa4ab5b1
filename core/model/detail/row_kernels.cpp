#include "core/model/detail/row_kernels.h"

#include <algorithm>
#include <cmath>

#include <ATen/Parallel.h>
#include <ATen/ops/empty_like.h>
#include <c10/core/InferenceMode.h>

namespace headscope {
namespace {

constexpr std::int64_t kGrain = std::int64_t{1} << 15;  // numbers that are worth a thread

void normRow(const float* x, const float* weight, float one, std::int64_t width, double eps, float* y) {
  constexpr int kLanes = 16;  // sums that the compiler keeps in vector registers
  float sums[kLanes] = {};
  std::int64_t i = 0;
  for (; i + kLanes <= width; i += kLanes) {
    for (int lane = 0; lane < kLanes; ++lane) {
      sums[lane] += x[i + lane] * x[i + lane];
    }
  }
  double total = 0;
  for (; i < width; ++i) {
    total += static_cast<double>(x[i]) * x[i];
  }
  for (const float sum : sums) {
    total += sum;
  }
  const float factor = static_cast<float>(1 / std::sqrt(total / static_cast<double>(width) + eps));
  if (weight == nullptr) {
    std::transform(x, x + width, y, [factor](float value) { return value * factor; });
    return;
  }
  for (i = 0; i < width; ++i) {
    y[i] = x[i] * factor * (weight[i] + one);
  }
}

void rotateRow(const RotaryTable& table, const float* c, const float* s, const float* x, std::int64_t dim, float* y) {
  const std::int64_t half = table.dims / 2;
  if (table.pairing == RopePairing::Half) {
    for (std::int64_t m = 0; m < half; ++m) {
      y[m] = x[m] * c[m] - x[m + half] * s[m];
      y[m + half] = x[m + half] * c[m] + x[m] * s[m];
    }
  } else {
    for (std::int64_t m = 0; m < half; ++m) {
      y[2 * m] = x[2 * m] * c[m] - x[2 * m + 1] * s[m];
      y[2 * m + 1] = x[2 * m + 1] * c[m] + x[2 * m] * s[m];
    }
  }
  std::copy(x + table.dims, x + dim, y + table.dims);
}

}  // namespace

bool rowKernelsApply(const at::Tensor& x) {
  return c10::InferenceMode::is_enabled() && x.is_cpu() && x.scalar_type() == at::kFloat && x.stride(-1) == 1;
}

at::Tensor rmsNormRows(const at::Tensor& x, const at::Tensor& weight, double eps, bool plusOne) {
  const at::Tensor source = x.contiguous();
  at::Tensor target = at::empty_like(source);
  const std::int64_t width = source.size(-1);
  const float* from = source.const_data_ptr<float>();
  const float* scale = weight.defined() ? weight.const_data_ptr<float>() : nullptr;
  float* to = target.mutable_data_ptr<float>();
  at::parallel_for(0, source.numel() / width, 1 + kGrain / width, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      normRow(from + row * width, scale, plusOne ? 1.0F : 0.0F, width, eps, to + row * width);
    }
  });
  return target;
}

void rotateRowsInto(const RotaryTable& table, const at::Tensor& x, const at::Tensor& target) {
  const std::int64_t rows = x.size(0), heads = x.size(1), dim = x.size(2), half = table.dims / 2;
  const at::Tensor cos = table.cos.contiguous(), sin = table.sin.contiguous();
  const float* c = cos.const_data_ptr<float>();
  const float* s = sin.const_data_ptr<float>();
  const float* from = x.const_data_ptr<float>();
  float* to = target.mutable_data_ptr<float>();
  at::parallel_for(0, rows, 1 + kGrain / (heads * dim), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      for (std::int64_t head = 0; head < heads; ++head) {
        rotateRow(table, c + row * half, s + row * half, from + row * x.stride(0) + head * x.stride(1), dim,
                  to + head * target.stride(0) + row * target.stride(1));
      }
    }
  });
}

}  // namespace headscope
