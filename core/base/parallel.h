#pragma once

// Work on all cores. parallelFor: short tasks (milliseconds) on one small pool of threads for the whole process, so
// that several callers never use more threads than the machine has cores (plus the callers themselves). runJobs: jobs
// that take long, on threads of their own; in the pool they would keep the maps waiting.

#include <cstdint>
#include <functional>

#include "core/base/job_control.h"

namespace headscope {

/// Calls task(0) … task(count − 1) on the pool and the calling thread and returns when all are done. After the first
/// exception no further task starts, and it is thrown here. Inside a task, it runs in the calling thread alone.
void parallelFor(std::int64_t count, const std::function<void(std::int64_t)>& task);

/// Threads that work on one parallelFor, the caller included. 0 sets it to the number of cores.
int mapThreads();
void setMapThreads(int threads);

/// Calls job(index, control) for index 0 … count−1 on `threads` threads (0: all cores), lower indices first. Returns
/// when all are done; the first exception stops the rest and is thrown again here. The jobs' control has no progress.
void runJobs(std::int64_t count, int threads, const JobControl& control,
             const std::function<void(std::int64_t, const JobControl&)>& job);

}  // namespace headscope
