#pragma once

#include <cmath>
#include <memory>

#include "tests/support/large_capture.h"

namespace headscope::bench {

/// Random numbers, and an lse that is about right: neither matters for the time.
inline std::shared_ptr<const Capture> randomCapture(const test::SyntheticCapture& options) {
  CaptureBuilder builder(test::syntheticHeader(options), options.tokens, test::syntheticOptions(options));
  test::CheapNormal random(1);
  for (int layer = 0; layer < options.layers; ++layer) {
    const CaptureBuilder::Target target = builder.target(layer);
    const std::int64_t rows = options.tokens * options.dim;
    for (std::int64_t i = 0; i < options.heads * rows; ++i) {
      test::storeFloat(target.q, options.type, static_cast<std::size_t>(i), random());
    }
    for (std::int64_t i = 0; i < options.kvHeads * rows; ++i) {
      test::storeFloat(target.k, options.type, static_cast<std::size_t>(i), random());
    }
    for (std::int64_t i = 0; i < options.heads * options.tokens; ++i) {
      target.lse[i] = std::log(static_cast<float>(i % options.tokens + 1)) + 0.5f;
    }
    builder.finishLayer(layer);
  }
  builder.finish();
  return builder.capture();
}

}  // namespace headscope::bench
