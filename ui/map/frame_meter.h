#pragma once

// Frame times of the last few seconds, for the read-out that can be switched on.

#include <QString>
#include <vector>

namespace headscope::ui {

class FrameMeter {
 public:
  void add(double milliseconds);
  double last() const { return last_; }
  double percentile(double share) const;  ///< share 0.95: 95 % of the frames took at most so long; 0 if there are none
  QString words() const;                  ///< "frame 3.1 ms · 95 % 4.8 ms"

 private:
  static constexpr std::size_t kFrames = 240;
  std::vector<double> times_;
  std::size_t next_ = 0;
  double last_ = 0;
};

}  // namespace headscope::ui
