#pragma once

// Turns the core's many progress calls into a few for people: at most one per 100 ms (and each stage's first and
// last), with a fraction and an estimate of the time left.

#include <chrono>
#include <optional>
#include <string>

#include "core/base/job_control.h"

namespace headscope::ui {

class ProgressMeter {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::milliseconds kInterval{100};

  struct Reading {
    std::string stage;
    double fraction = -1;     ///< 0 … 1 of the stage; −1 unknown
    double secondsLeft = -1;  ///< −1 unknown
  };

  /// Nothing if it comes too soon after the last one.
  std::optional<Reading> update(const Progress& progress, Clock::time_point now = Clock::now());

 private:
  std::string stage_;
  Clock::time_point stageStart_, lastShown_;
};

}  // namespace headscope::ui
