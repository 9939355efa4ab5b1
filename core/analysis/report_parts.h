#pragma once

// What a report is made of, whether heads are scored on the processor or on a device. Inside core/analysis only.

#include "core/analysis/report.h"
#include "core/base/job_control.h"

namespace headscope {

/// Fills `layer`'s means from its heads.
void fillMeans(LayerReport& layer);

/// The bounds of one head with the season and the rows that the options ask for.
BoundReport reportBounds(const HeadVectors& head, const AnalysisOptions& options, const JobControl& control);

}  // namespace headscope
