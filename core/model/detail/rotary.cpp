#include "core/model/detail/rotary.h"

#include <vector>

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/outer.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>

#include "core/model/detail/row_kernels.h"

namespace headscope {
namespace {

// Two passes over each half, straight into `target`, instead of the six of rotate(): for GPUs.
void rotateByHalves(const RotaryTable& table, const at::Tensor& x, const at::Tensor& target) {
  const bool half = table.pairing == RopePairing::Half;
  const auto dims = [&](const at::Tensor& t, std::int64_t which) {
    return half ? t.narrow(-1, which * table.dims / 2, table.dims / 2) : t.slice(-1, which, table.dims, 2);
  };
  const at::Tensor c = table.cos.unsqueeze(1).to(x.scalar_type());
  const at::Tensor s = table.sin.unsqueeze(1).to(x.scalar_type());
  const at::Tensor a = dims(x, 0), b = dims(x, 1);
  at::Tensor first = dims(target, 0), second = dims(target, 1);
  at::mul_out(first, a, c);
  first.addcmul_(b, s, -1);
  at::mul_out(second, b, c);
  second.addcmul_(a, s);
  const std::int64_t rest = x.size(-1) - table.dims;
  if (rest > 0) {
    target.narrow(-1, table.dims, rest).copy_(x.narrow(-1, table.dims, rest));
  }
}

}  // namespace

RotaryTable rotaryTable(const Rope& rope, std::int64_t first, std::int64_t count, const at::Device& device) {
  const std::vector<float> frequencies(rope.invFreq.begin(), rope.invFreq.end());
  const at::Tensor positions = at::arange(first, first + count, at::kLong).to(at::kFloat);
  const at::Tensor angles = at::outer(positions, at::tensor(frequencies));
  RotaryTable table;
  table.cos = (angles.cos() * rope.attentionScaling).to(device);
  table.sin = (angles.sin() * rope.attentionScaling).to(device);
  table.pairing = rope.pairing;
  table.dims = rope.rotaryDims;
  return table;
}

at::Tensor rotate(const RotaryTable& table, const at::Tensor& x) {
  if (table.dims == 0) {
    return x;
  }
  const at::Tensor turning = x.narrow(-1, 0, table.dims).to(at::kFloat);
  const at::Tensor c = table.cos.unsqueeze(-2);
  const at::Tensor s = table.sin.unsqueeze(-2);
  at::Tensor turned;
  if (table.pairing == RopePairing::Half) {
    const at::Tensor a = turning.narrow(-1, 0, table.dims / 2);
    const at::Tensor b = turning.narrow(-1, table.dims / 2, table.dims / 2);
    turned = at::cat({a * c - b * s, b * c + a * s}, -1);
  } else {
    const at::Tensor pairs = turning.unflatten(-1, {-1, 2});
    const at::Tensor a = pairs.select(-1, 0);
    const at::Tensor b = pairs.select(-1, 1);
    turned = at::stack({a * c - b * s, b * c + a * s}, -1).flatten(-2);
  }
  turned = turned.to(x.scalar_type());
  const std::int64_t rest = x.size(-1) - table.dims;
  return rest == 0 ? turned : at::cat({turned, x.narrow(-1, table.dims, rest)}, -1);
}

void rotateInto(const RotaryTable& table, const at::Tensor& x, const at::Tensor& target) {
  if (rowKernelsApply(x)) {
    rotateRowsInto(table, x, target);
  } else {
    rotateByHalves(table, x, target.transpose(0, 1));
  }
}

}  // namespace headscope
