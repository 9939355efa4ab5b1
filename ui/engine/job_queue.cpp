#include "ui/engine/job_queue.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "core/base/job_control.h"

namespace headscope::ui {

JobQueue::JobQueue(Patience patience) : patience_(patience) {
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

JobQueue::~JobQueue() {
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
  }
  cancelAll();
  thread_.request_stop();
  thread_.join();
}

void JobQueue::submit(Job job) {
  cancelTag(job.tag);
  std::unique_lock lock(mutex_);
  if (closed_) {
    return;
  }
  waiting_.push_back(std::move(job));
  lock.unlock();
  wake_.notify_all();
}

template <typename Condition>
void JobQueue::cancelIf(Condition condition) {
  std::vector<Job> dropped;
  {
    const std::lock_guard lock(mutex_);
    const auto keep = std::stable_partition(waiting_.begin(), waiting_.end(),
                                            [&](const Job& job) { return !condition(job.id, job.tag); });
    dropped.assign(std::make_move_iterator(keep), std::make_move_iterator(waiting_.end()));
    waiting_.erase(keep, waiting_.end());
    if (running_ && condition(runningId_, runningTag_)) {
      runningStop_.request_stop();
    }
  }
  wake_.notify_all();
  for (const Job& job : dropped) {
    if (job.dropped) {
      job.dropped();
    }
  }
}

void JobQueue::cancel(std::uint64_t id) {
  cancelIf([id](std::uint64_t job, const std::string&) { return job == id; });
}

void JobQueue::cancelTag(const std::string& tag) {
  cancelIf([&tag](std::uint64_t, const std::string& job) { return job == tag; });
}

void JobQueue::cancelAll() {
  cancelIf([](std::uint64_t, const std::string&) { return true; });
}

bool JobQueue::idle() const {
  const std::lock_guard lock(mutex_);
  return waiting_.empty() && !running_;
}

void JobQueue::waitIdle() {
  std::unique_lock lock(mutex_);
  wake_.wait(lock, [this] { return waiting_.empty() && !running_; });
}

void JobQueue::run(const std::stop_token& stop) {
  giveWay(patience_);
  std::unique_lock lock(mutex_);
  while (wake_.wait(lock, stop, [this] { return !waiting_.empty(); })) {
    Job job = std::move(waiting_.front());
    waiting_.pop_front();
    running_ = true;
    runningId_ = job.id;
    runningTag_ = job.tag;
    runningStop_ = std::stop_source();
    const std::stop_token token = runningStop_.get_token();
    lock.unlock();
    cleanVectorState();
    try {
      job.work(token);
    } catch (...) {
      // The owner's work reports its own failures; nothing may end the thread.
    }
    job = {};  // what it holds goes before anybody is told that the queue is idle
    lock.lock();
    running_ = false;
    wake_.notify_all();
  }
}

}  // namespace headscope::ui
