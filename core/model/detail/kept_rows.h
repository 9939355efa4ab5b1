#pragma once

// The captured rows that stay on GPUs after a run (RunOptions::deviceRows): those of the latest run only, and until
// the memory is needed.

#include <memory>

#include "core/capture/capture.h"

namespace headscope {

/// From now on `capture`'s are the ones.
void rememberKeptRows(const std::shared_ptr<const Capture>& capture);
/// Lets them go: for a new run, a new model, or where memory is short.
void dropKeptRows();

}  // namespace headscope
