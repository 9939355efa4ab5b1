#include "resources/demo/trainer/optimizer.h"

#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_fused_adamw.h>
#include <ATen/ops/add.h>
#include <ATen/ops/clamp.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/reciprocal.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <cmath>
#include <numbers>

namespace headscope::demo {

double Schedule::rate(int step, double used) const {
  const double warm = std::min(1.0, (step + 1.0) / warmUpSteps);
  const double cosine = 0.5 * (1 + std::cos(std::numbers::pi * std::clamp(used, 0.0, 1.0)));
  return warm * (floor + (peak - floor) * cosine);
}

AdamW::AdamW(std::vector<at::Tensor> parameters, double weightDecay) : groups_(2) {
  groups_[0].weightDecay = weightDecay;
  for (at::Tensor& parameter : parameters) {
    Group& group = groups_[parameter.dim() >= 2 ? 0 : 1];
    group.firstMoments.push_back(at::zeros_like(parameter));
    group.secondMoments.push_back(at::zeros_like(parameter));
    group.steps.push_back(at::zeros({}, parameter.options()));
    group.parameters.push_back(std::move(parameter));
  }
}

at::Tensor AdamW::clip(double limit) {
  std::vector<at::Tensor> gradients;
  for (const Group& group : groups_) {
    for (const at::Tensor& parameter : group.parameters) {
      gradients.push_back(parameter.grad());
    }
  }
  const at::Tensor norm = at::linalg_vector_norm(at::stack(at::_foreach_norm(gradients)), 2);
  at::_foreach_mul_(gradients, at::clamp(at::mul(at::reciprocal(at::add(norm, 1e-6)), limit), {}, 1.0));
  return norm;
}

at::Tensor AdamW::step(double rate, double clipNorm) {
  const at::Tensor norm = clip(clipNorm);
  for (Group& group : groups_) {
    std::vector<at::Tensor> gradients;
    for (const at::Tensor& parameter : group.parameters) {
      gradients.push_back(parameter.grad());
    }
    for (at::Tensor& steps : group.steps) {
      steps.add_(1);
    }
    at::_fused_adamw_(group.parameters, gradients, group.firstMoments, group.secondMoments, {}, group.steps, rate, 0.9,
                      0.95, group.weightDecay, 1e-8, false, false);
    for (at::Tensor& parameter : group.parameters) {
      parameter.mutable_grad().reset();
    }
  }
  return norm;
}

}  // namespace headscope::demo
