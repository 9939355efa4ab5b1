#pragma once

// Progress on stderr: one line that is rewritten on a terminal; lines of their own elsewhere.

#include <chrono>
#include <mutex>
#include <string>

#include "core/base/job_control.h"

namespace headscope::cli {

class ProgressLine {
 public:
  explicit ProgressLine(bool terminal) : terminal_(terminal) {}
  ~ProgressLine() { clear(); }

  /// Shows at most ten a second, the end of each stage always. From any thread.
  void show(const Progress& progress);
  /// Takes the line away, so that a message can stand there.
  void clear();

 private:
  bool terminal_;
  bool shown_ = false;
  std::string stage_;
  std::chrono::steady_clock::time_point next_;
  std::mutex mutex_;
};

}  // namespace headscope::cli
