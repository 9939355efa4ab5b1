#pragma once

// A stored log-sum-exp is used as it is, so one that contradicts q and k would falsify every map: sampled rows are
// compared when a capture is opened. Inside core/capture only.

#include "core/capture/capture.h"

namespace headscope {

/// Throws Error naming lse.<layer> if a sampled row differs by more than 1e-2 (all rows of a small capture).
void checkStoredLse(const Capture& capture, const std::string& where);

}  // namespace headscope
