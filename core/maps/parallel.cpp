#include "core/maps/parallel.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <list>
#include <mutex>
#include <thread>
#include <vector>

#include "core/base/job_control.h"

namespace headscope {
namespace {

thread_local bool insideTask = false;

// One parallelFor. Lives on its caller's stack: the caller leaves only when no helper is inside.
struct Batch {
  const std::function<void(std::int64_t)>& task;
  std::int64_t count = 0;
  std::atomic<std::int64_t> next{0};
  std::atomic<bool> failed{false};
  std::exception_ptr error = {};  ///< guarded by the pool's mutex
  int helpers = 0;                ///< threads of the pool inside; guarded likewise

  bool exhausted() const { return next.load() >= count || failed.load(); }
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
    Batch batch{task, count};
    {
      const std::lock_guard lock(mutex_);
      start();
      batches_.push_back(&batch);
    }
    wake_.notify_all();
    work(batch);
    std::unique_lock lock(mutex_);
    batches_.remove(&batch);
    done_.wait(lock, [&batch] { return batch.helpers == 0; });
    if (batch.error) {
      std::rethrow_exception(batch.error);
    }
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
      work(*batch);
      lock.lock();
      --batch->helpers;
      done_.notify_all();
    }
  }

  Batch* pick() {
    const auto found = std::find_if(batches_.begin(), batches_.end(), [](const Batch* b) { return !b->exhausted(); });
    return found == batches_.end() ? nullptr : *found;
  }

  void work(Batch& batch) {
    insideTask = true;
    cleanVectorState();
    try {
      for (std::int64_t index = batch.next++; index < batch.count && !batch.failed; index = batch.next++) {
        batch.task(index);
      }
    } catch (...) {
      const std::lock_guard lock(mutex_);
      batch.failed = true;
      if (!batch.error) {
        batch.error = std::current_exception();
      }
    }
    insideTask = false;
  }

  std::mutex mutex_;
  std::condition_variable wake_, done_;
  std::list<Batch*> batches_;
  std::vector<std::jthread> workers_;
  int wanted_ = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
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
  pool().resize(threads > 0 ? threads : static_cast<int>(std::max(1u, std::thread::hardware_concurrency())));
}

}  // namespace headscope
