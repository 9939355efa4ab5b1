#pragma once

// Lets a test hold a thread at a known place, instead of sleeping and hoping.

#include <condition_variable>
#include <mutex>

namespace headscope::test {

class Gate {
 public:
  /// The held thread: says that it has arrived and waits until the gate is opened.
  void pass() {
    std::unique_lock lock(mutex_);
    ++arrived_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return open_; });
  }
  void open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  /// The test: waits until somebody stands at the gate.
  void waitForArrival(int count = 1) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this, count] { return arrived_ >= count; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int arrived_ = 0;
  bool open_ = false;
};

}  // namespace headscope::test
