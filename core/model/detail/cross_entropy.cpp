#include "core/model/detail/cross_entropy.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/amax.h>
#include <ATen/ops/maximum.h>
#include <ATen/ops/where.h>

namespace headscope {

void CrossEntropy::add(std::int64_t firstId, const at::Tensor& logits) {
  const at::Tensor place = next_ - firstId;
  const at::Tensor inside = (place >= 0).logical_and(place < logits.size(1));
  const at::Tensor own = logits.gather(1, place.clamp(0, logits.size(1) - 1));
  const at::Tensor peak = at::amax(logits, 1, true);
  if (!peak_.defined()) {
    peak_ = peak;
    chosen_ = own.masked_fill(inside.logical_not(), 0);
    total_ = logits.sub_(peak_).exp_().sum(1, true);
    return;
  }
  const at::Tensor both = at::maximum(peak_, peak);
  total_ = total_ * (peak_ - both).exp() + logits.sub_(both).exp_().sum(1, true);
  peak_ = both;
  chosen_ = at::where(inside, own, chosen_);
}

double CrossEntropy::sum() const {
  return (peak_ + total_.log() - chosen_).to(at::kDouble).sum().item<double>();
}

}  // namespace headscope
