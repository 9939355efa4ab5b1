#pragma once

// Lengths of RoPE's pairs of dims: |x^m| of each channel. Inside core/analysis only.

#include <cstdint>
#include <vector>

#include "core/rope/rope.h"

namespace headscope {

/// lengths[m] of one row [dim].
void channelLengths(const Rope& rope, const double* row, double* lengths);

/// [channels] mean over `count` rows [count, dim].
std::vector<double> meanChannelLengths(const Rope& rope, const std::vector<double>& rows, std::int64_t count, int dim);

}  // namespace headscope
