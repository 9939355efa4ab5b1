#pragma once

// Means over the heads of a layer. Inside core/analysis only.

#include "core/analysis/report.h"

namespace headscope {

/// Fills `layer`'s means from its heads.
void fillMeans(LayerReport& layer);

}  // namespace headscope
