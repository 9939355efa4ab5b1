#pragma once

// The paper's two validation experiments, replayed on a captured head (tappa.md 3; Yang et al., ICLR 2026, arXiv
// 2601.21709, sections on RoPE's dominant channel): move the dominant channel to another index (the paper: to 2, 3
// and 5), and divide the RoPE base by ten (the paper: 1,000,000 → 100,000). Theorem 5.3 says what must happen: the
// diagonals repeat every T = 2π/θ tokens of the channel and base in force.

#include <cstdint>
#include <optional>
#include <vector>

#include "core/analysis/head_vectors.h"
#include "core/analysis/rope_lens.h"
#include "core/base/job_control.h"
#include "core/capture/capture.h"
#include "core/rope/interventions.h"

namespace headscope {

/// BaseAfterMove: the lower base on top of a move. Dominant channels of real models mostly turn too slowly for a text,
/// at any base; moved to a fast index the effect of the base can be measured on them, too.
enum class Experiment { None, MoveChannel, LowerBase, BaseAfterMove };

/// Whether the mean logit by distance repeats as the dominant channel says.
enum class PeriodVerdict {
  Shown,       ///< measured within max(0.5 token, 3 %) of the prediction, strength at least 0.8
  NotShown,    ///< the period would fit, but is not there
  OutOfReach,  ///< the prediction is longer than a quarter of the text (or below 2 tokens): can't be measured here
};

struct ExperimentReading {
  Experiment experiment = Experiment::None;
  Interventions interventions;            ///< what was changed
  std::optional<int> channel;             ///< the dominant one, after the change
  double dominance = 0;                   ///< its share against the next one's; 0 if there is none
  std::optional<double> predictedPeriod;  ///< tokens
  std::optional<MeasuredPeriod> measuredPeriod;
  PeriodVerdict verdict = PeriodVerdict::OutOfReach;
};

struct Replay {
  int layer = 0, head = 0;
  /// The head as it is, then moves to 2, 3 and 5 (without its own channel and those that the head doesn't have), then
  /// the lower base, alone and after the slowest of the moves that can be measured. Empty in a layer without RoPE.
  std::vector<ExperimentReading> readings;

  /// Any reading of this experiment whose period is as predicted.
  bool shows(Experiment experiment) const;
};

/// Costs one RoPE lens a reading: O(dim · tokens · log tokens).
Replay replayExperiments(const Capture& capture, int layer, int head, const JobControl& control = {});

PeriodVerdict periodVerdict(std::optional<double> predicted, const std::optional<MeasuredPeriod>& measured,
                            std::int64_t tokens);

}  // namespace headscope
