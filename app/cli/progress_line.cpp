#include "app/cli/progress_line.h"

#include <cstdio>

namespace headscope::cli {
namespace {

constexpr auto kTerminalPause = std::chrono::milliseconds(100);
constexpr auto kLogPause = std::chrono::seconds(1);

}  // namespace

void ProgressLine::show(const Progress& progress) {
  const std::scoped_lock lock(mutex_);
  const auto now = std::chrono::steady_clock::now();
  const bool complete = progress.total > 0 && progress.done >= progress.total;
  if (now < next_ && progress.stage == stage_ && !complete) {
    return;
  }
  next_ = now + (terminal_ ? std::chrono::steady_clock::duration(kTerminalPause)
                           : std::chrono::steady_clock::duration(kLogPause));
  stage_ = progress.stage;
  std::string text(progress.stage);
  if (progress.total > 0) {
    const double percent = 100.0 * static_cast<double>(progress.done) / static_cast<double>(progress.total);
    text += concat(" ", progress.done, "/", progress.total, " (", static_cast<int>(percent), " %)");
  } else if (progress.done > 0) {
    text += concat(" ", progress.done);
  }
  std::fprintf(stderr, terminal_ ? "\r\x1b[K%s" : "%s\n", text.c_str());
  std::fflush(stderr);
  shown_ = true;
}

void ProgressLine::clear() {
  const std::scoped_lock lock(mutex_);
  if (terminal_ && shown_) {
    std::fputs("\r\x1b[K", stderr);
    shown_ = false;
  }
}

}  // namespace headscope::cli
