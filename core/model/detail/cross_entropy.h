#pragma once

// The loss of next-token prediction from logits that arrive by ranges of the vocabulary: a range of 2,000 ids by 1,000
// rows stays in the processor's cache, all 50,000 or 150,000 of them do not. LibTorch header: internal to core/model.

#include <cstdint>

#include <ATen/core/Tensor.h>

namespace headscope {

class CrossEntropy {
 public:
  /// `next` [rows]: the id that follows each row, on the device of the logits.
  explicit CrossEntropy(const at::Tensor& next) : next_(next.unsqueeze(1)) {}

  /// float32 `logits` [rows, n] of the ids firstId … firstId + n − 1; overwritten. Each id once, in any order.
  void add(std::int64_t firstId, const at::Tensor& logits);

  /// Sum over the rows of log Σ exp(logit) − logit of the next id, nats.
  double sum() const;

 private:
  at::Tensor next_;    // [rows, 1], as all below
  at::Tensor peak_;    // largest logit so far
  at::Tensor total_;   // Σ exp(logit − peak)
  at::Tensor chosen_;  // logit of the next id
};

}  // namespace headscope
