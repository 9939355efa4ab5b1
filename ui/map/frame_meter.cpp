#include "ui/map/frame_meter.h"

#include <algorithm>
#include <cmath>

namespace headscope::ui {

void FrameMeter::add(double milliseconds) {
  last_ = milliseconds;
  if (times_.size() < kFrames) {
    times_.push_back(milliseconds);
  } else {
    times_[next_] = milliseconds;
    next_ = (next_ + 1) % kFrames;
  }
}

double FrameMeter::percentile(double share) const {
  if (times_.empty()) {
    return 0;
  }
  std::vector<double> sorted = times_;
  std::sort(sorted.begin(), sorted.end());
  const auto rank = static_cast<std::size_t>(std::ceil(share * static_cast<double>(sorted.size())));
  return sorted[std::clamp<std::size_t>(rank, 1, sorted.size()) - 1];
}

QString FrameMeter::words() const {
  return QStringLiteral("frame %1 ms · 95 % %2 ms").arg(last_, 0, 'f', 1).arg(percentile(0.95), 0, 'f', 1);
}

}  // namespace headscope::ui
