#pragma once

// Independent jobs on a few threads, for work that is long against starting a thread. Inside core/analysis only.

#include <cstdint>
#include <functional>

#include "core/base/job_control.h"

namespace headscope {

/// Calls job(index, control) for index 0 … count−1 on `threads` threads (0: all cores), lower indices first. Returns
/// when all are done; the first exception stops the rest and is thrown again here. The jobs' control has no progress.
void runJobs(std::int64_t count, int threads, const JobControl& control,
             const std::function<void(std::int64_t, const JobControl&)>& job);

}  // namespace headscope
