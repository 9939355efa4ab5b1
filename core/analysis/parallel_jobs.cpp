#include "core/analysis/parallel_jobs.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <stop_token>
#include <thread>
#include <vector>

namespace headscope {

void runJobs(std::int64_t count, int threads, const JobControl& control,
             const std::function<void(std::int64_t, const JobControl&)>& job) {
  std::stop_source stop;
  const std::stop_callback outer(control.stop, [&stop] { stop.request_stop(); });
  std::atomic<std::int64_t> next{0};
  std::mutex mutex;
  std::exception_ptr failure;
  const auto work = [&] {
    cleanVectorState();
    const JobControl inner{stop.get_token(), {}};
    try {
      for (std::int64_t index = next++; index < count; index = next++) {
        inner.checkpoint();
        job(index, inner);
      }
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (!failure) {
        failure = std::current_exception();
      }
      stop.request_stop();
    }
  };
  const auto wanted = threads > 0 ? threads : static_cast<int>(std::thread::hardware_concurrency());
  {
    std::vector<std::jthread> workers;
    for (std::int64_t w = 1; w < std::min<std::int64_t>(std::max(wanted, 1), count); ++w) {
      workers.emplace_back(work);
    }
    work();
  }
  if (failure) {
    std::rethrow_exception(failure);
  }
}

}  // namespace headscope
