#pragma once

// How a caller watches and stops long work. Core functions are synchronous; they call checkpoint() often
// (every layer, every block of rows) and throw Cancelled soon after a stop was asked for.

#include <cstdint>
#include <functional>
#include <stop_token>
#include <string_view>

#include "core/base/error.h"

namespace headscope {

struct Progress {
  std::string_view stage;  ///< in words, for people: "prefill", "reading weights"
  std::int64_t done = 0;
  std::int64_t total = 0;  ///< same unit as `done`; 0 if unknown
};

struct JobControl {
  std::stop_token stop;
  std::function<void(const Progress&)> progress;  ///< may be empty; called often, from the working thread

  void checkpoint() const {
    if (stop.stop_requested()) {
      throw Cancelled();
    }
  }

  void checkpoint(std::string_view stage, std::int64_t done, std::int64_t total) const {
    checkpoint();
    if (progress) {
      progress(Progress{stage, done, total});
    }
  }
};

/// To be called first in every numeric job: Qt leaves the upper halves of the AVX registers dirty, new threads
/// inherit that, and scalar libm calls are then some 20 times slower.
void cleanVectorState() noexcept;

}  // namespace headscope
