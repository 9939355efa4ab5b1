#include "core/analysis/experiments.h"

#include <algorithm>
#include <cmath>

namespace headscope {
namespace {

constexpr int kTargets[] = {2, 3, 5};
constexpr double kBaseDivisor = 10;
constexpr double kStrong = 0.8;

ExperimentReading reading(const Capture& capture, int layer, int head, Experiment experiment,
                          const Interventions& interventions, const JobControl& control) {
  control.checkpoint();
  const RopeLens lens = ropeLens(makeHeadVectors(capture, layer, head, interventions), control);
  ExperimentReading result;
  result.experiment = experiment;
  result.interventions = interventions;
  result.channel = lens.spectrum.dominant;
  result.dominance = lens.spectrum.dominance.value_or(0);
  result.predictedPeriod = lens.spectrum.predictedPeriod;
  result.measuredPeriod = lens.measuredPeriod;
  result.verdict = periodVerdict(result.predictedPeriod, result.measuredPeriod, capture.tokens());
  return result;
}

}  // namespace

PeriodVerdict periodVerdict(std::optional<double> predicted, const std::optional<MeasuredPeriod>& measured,
                            std::int64_t tokens) {
  if (!predicted || *predicted < 2 || *predicted > static_cast<double>(tokens) / 4) {
    return PeriodVerdict::OutOfReach;
  }
  const bool close = measured && measured->strength >= kStrong &&
                     std::abs(measured->tokens - *predicted) <= std::max(0.5, 0.03 * *predicted);
  return close ? PeriodVerdict::Shown : PeriodVerdict::NotShown;
}

bool Replay::shows(Experiment experiment) const {
  return std::any_of(readings.begin(), readings.end(), [experiment](const ExperimentReading& reading) {
    return reading.experiment == experiment && reading.verdict == PeriodVerdict::Shown;
  });
}

Replay replayExperiments(const Capture& capture, int layer, int head, const JobControl& control) {
  Replay replay;
  replay.layer = layer;
  replay.head = head;
  const Rope* rope = capture.rope(layer);
  if (rope == nullptr) {
    return replay;
  }
  replay.readings.push_back(reading(capture, layer, head, Experiment::None, {}, control));
  const auto dominant = replay.readings.front().channel;
  for (const int target : kTargets) {
    if (dominant && *dominant != target && target < rope->channels()) {
      Interventions move;
      move.moveChannels.emplace_back(*dominant, target);
      replay.readings.push_back(reading(capture, layer, head, Experiment::MoveChannel, move, control));
    }
  }
  Interventions base;
  base.ropeBase = rope->base / kBaseDivisor;
  replay.readings.push_back(reading(capture, layer, head, Experiment::LowerBase, base, control));
  const auto moved = std::find_if(replay.readings.rbegin(), replay.readings.rend(), [](const ExperimentReading& line) {
    return line.experiment == Experiment::MoveChannel && line.verdict != PeriodVerdict::OutOfReach;
  });
  if (moved != replay.readings.rend()) {
    base.moveChannels = moved->interventions.moveChannels;
    replay.readings.push_back(reading(capture, layer, head, Experiment::BaseAfterMove, base, control));
  }
  return replay;
}

}  // namespace headscope
