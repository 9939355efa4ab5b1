#include "core/base/parallel.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <list>
#include <mutex>
#include <stop_token>
#include <thread>
#include <vector>

#include "core/base/job_control.h"

namespace headscope {
namespace {

thread_local bool insideTask = false;

int cores() {
  return static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
}

// Indices that several threads work off, lower ones first, until one fails.
class IndexLoop {
 public:
  explicit IndexLoop(std::int64_t count) : count_(count) {}

  bool exhausted() const { return next_.load() >= count_ || failed_.load(); }

  template <typename Task>
  void work(const Task& task) {
    cleanVectorState();
    try {
      for (std::int64_t index = next_++; index < count_ && !failed_; index = next_++) {
        task(index);
      }
    } catch (...) {
      const std::lock_guard lock(mutex_);
      failed_ = true;
      if (!error_) {
        error_ = std::current_exception();
      }
    }
  }

  bool failed() const { return failed_.load(); }

  /// When nobody is at work any more.
  void rethrow() const {
    if (error_) {
      std::rethrow_exception(error_);
    }
  }

 private:
  std::int64_t count_;
  std::atomic<std::int64_t> next_{0};
  std::atomic<bool> failed_{false};
  std::mutex mutex_;
  std::exception_ptr error_;
};

// One parallelFor. Lives on its caller's stack: the caller leaves only when no helper is inside.
struct Batch {
  const std::function<void(std::int64_t)>& task;
  IndexLoop loop;
  int helpers = 0;  ///< threads of the pool inside; guarded by the pool's mutex

  void work() {
    insideTask = true;
    loop.work(task);
    insideTask = false;
  }
};

class Pool {
 public:
  ~Pool() { resize(1); }

  int threads() {
    const std::lock_guard lock(mutex_);
    return wanted_;
  }

  void resize(int threads) {
    std::vector<std::jthread> old;
    {
      const std::lock_guard lock(mutex_);
      wanted_ = std::max(threads, 1);
      old.swap(workers_);
      started_ = false;
      ++generation_;
    }
    wake_.notify_all();
  }

  void run(std::int64_t count, const std::function<void(std::int64_t)>& task) {
    Batch batch{task, IndexLoop(count)};
    {
      const std::lock_guard lock(mutex_);
      start();
      batches_.push_back(&batch);
    }
    wake_.notify_all();
    batch.work();
    std::unique_lock lock(mutex_);
    batches_.remove(&batch);
    done_.wait(lock, [&batch] { return batch.helpers == 0; });
    batch.loop.rethrow();
  }

 private:
  void start() {
    if (started_) {
      return;
    }
    started_ = true;
    for (int i = 1; i < wanted_; ++i) {
      workers_.emplace_back([this, generation = generation_] { serve(generation); });
    }
  }

  void serve(std::uint64_t generation) {
    std::unique_lock lock(mutex_);
    for (;;) {
      Batch* batch = nullptr;
      wake_.wait(lock, [&] {
        batch = pick();
        return batch != nullptr || generation != generation_;
      });
      if (generation != generation_) {
        return;
      }
      ++batch->helpers;
      lock.unlock();
      batch->work();
      lock.lock();
      --batch->helpers;
      done_.notify_all();
    }
  }

  Batch* pick() {
    const auto found =
        std::find_if(batches_.begin(), batches_.end(), [](const Batch* b) { return !b->loop.exhausted(); });
    return found == batches_.end() ? nullptr : *found;
  }

  std::mutex mutex_;
  std::condition_variable wake_, done_;
  std::list<Batch*> batches_;
  std::vector<std::jthread> workers_;
  int wanted_ = cores();
  bool started_ = false;
  std::uint64_t generation_ = 0;
};

Pool& pool() {
  static Pool instance;
  return instance;
}

}  // namespace

void parallelFor(std::int64_t count, const std::function<void(std::int64_t)>& task) {
  if (insideTask) {
    for (std::int64_t index = 0; index < count; ++index) {
      task(index);
    }
  } else if (count > 0) {
    pool().run(count, task);
  }
}

int mapThreads() {
  return pool().threads();
}

void setMapThreads(int threads) {
  pool().resize(threads > 0 ? threads : cores());
}

void runJobs(std::int64_t count, int threads, const JobControl& control,
             const std::function<void(std::int64_t, const JobControl&)>& job) {
  std::stop_source stop;
  const std::stop_callback outer(control.stop, [&stop] { stop.request_stop(); });
  IndexLoop loop(count);
  const auto work = [&] {
    const JobControl inner{stop.get_token(), {}};
    loop.work([&](std::int64_t index) {
      inner.checkpoint();
      job(index, inner);
    });
    if (loop.failed()) {
      stop.request_stop();
    }
  };
  {
    std::vector<std::jthread> workers;
    const std::int64_t wanted = std::min<std::int64_t>(threads > 0 ? threads : cores(), count);
    for (std::int64_t w = 1; w < wanted; ++w) {
      workers.emplace_back(work);
    }
    work();
  }
  loop.rethrow();
}

}  // namespace headscope
