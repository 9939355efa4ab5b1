#include "ui/engine/progress_meter.h"

#include <algorithm>

namespace headscope::ui {

std::optional<ProgressMeter::Reading> ProgressMeter::update(const Progress& progress, Clock::time_point now) {
  const bool first = progress.stage != stage_ || stageStart_ == Clock::time_point{};
  if (first) {
    stage_ = progress.stage;
    stageStart_ = now;
  }
  const bool last = progress.total > 0 && progress.done >= progress.total;
  if (!first && !last && now - lastShown_ < kInterval) {
    return std::nullopt;
  }
  lastShown_ = now;
  Reading reading;
  reading.stage = stage_;
  if (progress.total > 0) {
    reading.fraction = std::clamp(static_cast<double>(progress.done) / static_cast<double>(progress.total), 0.0, 1.0);
    const double elapsed = std::chrono::duration<double>(now - stageStart_).count();
    if (reading.fraction > 0 && elapsed > 0.5) {
      reading.secondsLeft = elapsed * (1 - reading.fraction) / reading.fraction;
    }
  }
  return reading;
}

}  // namespace headscope::ui
