#pragma once

// One thread that works off jobs in order. Jobs carry a tag; of each tag only the newest counts: submitting drops the
// waiting job of the same tag and asks the running one to stop. The thread, and those that a job starts, give way to
// the window's. No Qt here, so that ThreadSanitizer sees every lock.

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>

#include "core/base/thread_priority.h"

namespace headscope::ui {

class JobQueue {
 public:
  struct Job {
    std::uint64_t id = 0;
    std::string tag;
    std::function<void(const std::stop_token&)> work;  ///< must not throw; what it throws is lost
    std::function<void()> dropped;  ///< called instead of `work` if the job never started; may be empty
  };

  explicit JobQueue(Patience patience = Patience::Shown);
  ~JobQueue();  ///< drops what waits, stops what runs, joins
  JobQueue(const JobQueue&) = delete;
  JobQueue& operator=(const JobQueue&) = delete;

  void submit(Job job);
  void cancel(std::uint64_t id);
  void cancelTag(const std::string& tag);
  void cancelAll();

  bool idle() const;
  void waitIdle();

 private:
  void run(const std::stop_token& stop);
  template <typename Condition>
  void cancelIf(Condition condition);

  Patience patience_;
  mutable std::mutex mutex_;
  std::condition_variable_any wake_;
  std::deque<Job> waiting_;
  bool running_ = false;
  std::uint64_t runningId_ = 0;
  std::string runningTag_;
  std::stop_source runningStop_;
  bool closed_ = false;
  std::jthread thread_;  ///< last: joins before anything else goes
};

}  // namespace headscope::ui
