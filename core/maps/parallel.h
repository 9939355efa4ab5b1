#pragma once

// One small pool of threads for all map work of the process, so that several callers never use more threads than the
// machine has cores (plus the callers themselves).

#include <cstdint>
#include <functional>

namespace headscope {

/// Calls task(0) … task(count − 1) on the pool and the calling thread and returns when all are done. After the first
/// exception no further task starts, and it is thrown here. Inside a task, it runs in the calling thread alone.
void parallelFor(std::int64_t count, const std::function<void(std::int64_t)>& task);

/// Threads that work on one parallelFor, the caller included. 0 sets it to the number of cores.
int mapThreads();
void setMapThreads(int threads);

}  // namespace headscope
