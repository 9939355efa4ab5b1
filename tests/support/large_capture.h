#pragma once

// Captures that are too long for a dense map: cheap random numbers, the log-sum-exp from core/maps (which
// tst_maps.cpp compares with the dense softmax).

#include <memory>

#include "core/capture/prepared_rows.h"
#include "core/maps/log_sum_exp.h"
#include "tests/support/synthetic_capture.h"

namespace headscope::test {

/// About normal, from four bytes of a fast generator.
class CheapNormal {
 public:
  explicit CheapNormal(std::uint64_t seed) : state_(seed * 2 + 1) {}
  float operator()() {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    const std::uint64_t bits = state_ >> 32;
    const auto sum = static_cast<float>((bits & 255) + ((bits >> 8) & 255) + ((bits >> 16) & 255) + (bits >> 24));
    return (sum - 510.0f) / 147.8f;
  }

 private:
  std::uint64_t state_;
};

/// Computes the lse of a layer whose q and k are there, and publishes it.
inline void finishWithLse(CaptureBuilder& builder, int layer, const SyntheticCapture& options) {
  const CaptureBuilder::Target target = builder.target(layer);
  builder.finishLayer(layer);
  const Capture& capture = *builder.capture();
  const RowPreparation rows(capture, layer);
  const std::size_t elements = static_cast<std::size_t>(options.tokens) * static_cast<std::size_t>(options.dim);
  std::vector<float> q(elements), k(elements);
  const LogitRule rule{options.dim, options.window, options.softcap};
  for (int head = 0; head < options.heads; ++head) {
    rows.read(RowsOf::Query, head, 0, options.tokens, q.data());
    rows.read(RowsOf::Key, capture.layer(layer).kvHead(head), 0, options.tokens, k.data());
    for (float& x : q) {
      x *= static_cast<float>(options.scale);
    }
    const std::vector<float> lse = logSumExp(rule, q.data(), k.data(), options.tokens);
    std::copy(lse.begin(), lse.end(), target.lse + head * options.tokens);
  }
}

inline std::shared_ptr<const Capture> makeLargeCapture(const SyntheticCapture& options) {
  CaptureBuilder builder(syntheticHeader(options), options.tokens, syntheticOptions(options));
  CheapNormal random(options.seed);
  for (int layer = 0; layer < options.layers; ++layer) {
    const CaptureBuilder::Target target = builder.target(layer);
    const std::int64_t rows = options.tokens * options.dim;
    for (std::int64_t i = 0; i < options.heads * rows; ++i) {
      storeFloat(target.q, options.type, static_cast<std::size_t>(i), random() * static_cast<float>(options.spread));
    }
    for (std::int64_t i = 0; i < options.kvHeads * rows; ++i) {
      storeFloat(target.k, options.type, static_cast<std::size_t>(i), random() * static_cast<float>(options.spread));
    }
    finishWithLse(builder, layer, options);
  }
  builder.finish();
  return builder.capture();
}

}  // namespace headscope::test
