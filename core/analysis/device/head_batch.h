#pragma once

// The figures of all heads of some layers that work alike, at once, on a device. Inside core/analysis/device only.

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "core/analysis/case_evidence.h"
#include "core/analysis/device/head_program.h"
#include "core/analysis/report.h"
#include "core/analysis/retrieval.h"
#include "core/base/job_control.h"
#include "core/capture/capture.h"

namespace headscope::device {

/// What is the same for all heads of a capture.
struct BatchText {
  BatchText(const Capture& capture, const AnalysisOptions& options);

  std::vector<std::int64_t> positions;                   ///< [tokens]
  bool evenly = true;                                    ///< positions without gaps
  std::vector<std::int64_t> order, groupStart, earlier;  ///< tokens by id (head_layout.h); empty without ids
  std::vector<double> noise;                             ///< [2 · tokens]
  std::vector<std::int64_t> rows;                        ///< sampled, without row 0
  std::int64_t repeated = 0;                             ///< how many of them have the same id earlier
  std::vector<std::int64_t> boundRows;
  std::optional<NeedleSpan> needle;
  std::vector<std::int64_t> answerRows, placeStarts, places;  ///< of retrieval
};

/// [heads of the layers, in their order] each.
struct BatchFigures {
  std::vector<double> figures;              ///< [heads, kFigures]
  std::vector<double> rowScores;            ///< [heads, kRowScores] sums over the text's rows
  std::vector<double> retrieval;            ///< [heads, 2] sums over the answer's rows; empty without a needle
  std::vector<double> totals;               ///< [heads, kStatements, kTotals]; empty without bounds
  std::vector<double> predicted, measured;  ///< [heads, anchors, kAgreements]; empty without cases
};

struct BatchRequest {
  const Capture& capture;
  const BatchText& text;
  const AnalysisOptions& options;
  std::vector<int> layers;  ///< with the same shape, type, RoPE and attention
  bool bounds = true;       ///< RoPE alone at even positions only
};

int typeCode(FloatType type);  ///< Batch::type

/// Bytes on the device that one layer takes, about.
double layerBytes(const BatchRequest& request);
/// Of the layers of a batch; there is always one.
constexpr double kBatchBytes = 8e9;

/// Throws Error (kind Memory: the device is full), Cancelled.
BatchFigures computeBatch(HeadProgram& program, const BatchRequest& request, const JobControl& control);

}  // namespace headscope::device
