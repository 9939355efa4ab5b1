#pragma once

// AdamW (Loshchilov & Hutter 2019, arXiv 1711.05101) over LibTorch's fused step, with warm-up, a cosine that follows
// the share of the time budget that is used up, and clipping of the gradient's norm.

#include <ATen/core/Tensor.h>

#include <vector>

namespace headscope::demo {

struct Schedule {
  double peak = 3e-3;
  double floor = 1e-4;
  int warmUpSteps = 200;
  /// Learning rate at `step`, with `used` ∈ [0, 1] of the budget spent.
  double rate(int step, double used) const;
};

class AdamW {
 public:
  explicit AdamW(std::vector<at::Tensor> parameters, double weightDecay = 0.1);

  /// One step with the gradients in place, which are cleared. Returns the gradients' norm before clipping (on the
  /// device).
  at::Tensor step(double rate, double clipNorm = 1.0);

 private:
  struct Group {
    std::vector<at::Tensor> parameters, firstMoments, secondMoments, steps;
    double weightDecay = 0;
  };
  at::Tensor clip(double limit);

  std::vector<Group> groups_;  ///< matrices decay, vectors don't
};

}  // namespace headscope::demo
