#pragma once

// Reports of layers whose heads are scored on a GPU. Inside core/analysis only.

#include <memory>
#include <string>
#include <vector>

#include "core/analysis/report.h"
#include "core/base/job_control.h"
#include "core/capture/capture.h"

namespace headscope::device {

class HeadProgram;

/// Below that the way to a device costs more than the work.
constexpr std::int64_t kFewestTokens = 64;

struct Outcome {
  std::vector<LayerReport> layers;  ///< in any order; those that are missing are left to the processor
  std::string device = "cpu";       ///< "cuda:0" once a layer was done there
  std::string note;                 ///< why layers are missing
};

/// `layers` of the capture on options.device, whose onLayer is called for each. Throws Cancelled, or Error for a device
/// that doesn't exist.
Outcome analyzeLayers(const Capture& capture, const std::vector<int>& layers, const AnalysisOptions& options,
                      const JobControl& control);
Outcome analyzeLayers(HeadProgram& program, const Capture& capture, const std::vector<int>& layers,
                      const AnalysisOptions& options, const JobControl& control);

}  // namespace headscope::device
