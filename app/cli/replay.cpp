// replay: the paper's two validation experiments on captured heads: move the dominant channel, lower the RoPE base.

#include <cmath>
#include <memory>

#include "app/cli/command.h"
#include "app/cli/head_options.h"
#include "app/cli/output.h"
#include "app/cli/source.h"
#include "core/analysis/experiments.h"

namespace headscope::cli {
namespace {

struct ReplayCommand {
  SourceOptions source;
  HeadOptions head;
  OutputOptions output;
};

template <typename Number>
OrderedJson orNull(const std::optional<Number>& value) {
  return value ? OrderedJson(*value) : OrderedJson(nullptr);
}

std::string nameOf(Experiment experiment) {
  switch (experiment) {
    case Experiment::MoveChannel:
      return "move_channel";
    case Experiment::LowerBase:
      return "lower_base";
    case Experiment::BaseAfterMove:
      return "base_after_move";
    case Experiment::None:
      break;
  }
  return "original";
}

std::string nameOf(PeriodVerdict verdict) {
  switch (verdict) {
    case PeriodVerdict::Shown:
      return "shown";
    case PeriodVerdict::NotShown:
      return "not_shown";
    case PeriodVerdict::OutOfReach:
      break;
  }
  return "out_of_reach";
}

OrderedJson readingJson(const ExperimentReading& reading) {
  OrderedJson json;
  json["experiment"] = nameOf(reading.experiment);
  json["rope_base"] = orNull(reading.interventions.ropeBase);
  json["move_channel"] = OrderedJson(nullptr);
  if (!reading.interventions.moveChannels.empty()) {
    const auto [from, to] = reading.interventions.moveChannels.front();
    json["move_channel"] = {from, to};
  }
  json["channel"] = orNull(reading.channel);
  json["dominance"] = reading.dominance;
  json["predicted_period"] = orNull(reading.predictedPeriod);
  json["measured_period"] = reading.measuredPeriod ? OrderedJson(reading.measuredPeriod->tokens) : OrderedJson(nullptr);
  json["measured_period_strength"] = reading.measuredPeriod ? reading.measuredPeriod->strength : 0.0;
  json["verdict"] = nameOf(reading.verdict);
  return json;
}

OrderedJson replayJson(const std::vector<Replay>& replays) {
  OrderedJson json;
  json["heads"] = OrderedJson::array();
  int moves = 0, bases = 0, after = 0;
  for (const Replay& replay : replays) {
    const bool move = replay.shows(Experiment::MoveChannel), base = replay.shows(Experiment::LowerBase);
    const bool baseAfter = replay.shows(Experiment::BaseAfterMove);
    moves += move ? 1 : 0;
    bases += base ? 1 : 0;
    after += baseAfter ? 1 : 0;
    OrderedJson entry;
    entry["layer"] = replay.layer;
    entry["head"] = replay.head;
    entry["move_channel_shown"] = move;
    entry["lower_base_shown"] = base;
    entry["base_after_move_shown"] = baseAfter;
    entry["readings"] = OrderedJson::array();
    for (const ExperimentReading& reading : replay.readings) {
      entry["readings"].push_back(readingJson(reading));
    }
    json["heads"].push_back(std::move(entry));
  }
  json["move_channel_shown"] = moves;
  json["lower_base_shown"] = bases;
  json["base_after_move_shown"] = after;
  return json;
}

Table replayTable(const std::vector<Replay>& replays, std::string (*number)(double)) {
  Table table({"layer", "head", "experiment", "channel", "dominance", "predicted", "measured", "strength", "verdict"});
  const double none = std::nan("");
  for (const Replay& replay : replays) {
    for (const ExperimentReading& reading : replay.readings) {
      table.addRow({std::to_string(replay.layer), std::to_string(replay.head), nameOf(reading.experiment),
                    reading.channel ? std::to_string(*reading.channel) : "", number(reading.dominance),
                    number(reading.predictedPeriod.value_or(none)),
                    number(reading.measuredPeriod ? reading.measuredPeriod->tokens : none),
                    number(reading.measuredPeriod ? reading.measuredPeriod->strength : none), nameOf(reading.verdict)});
    }
  }
  return table;
}

void runReplay(const ReplayCommand& command, const Run& run) {
  if ((command.head.layer < 0) != (command.head.head < 0)) {
    wrongUse("--layer and --head go together; without both, every head is replayed");
  }
  const auto capture = openSource(command.source, run.control);
  std::vector<Replay> replays;
  if (command.head.layer >= 0) {
    checkHead(*capture, command.source.path, command.head.layer, command.head.head);
    replays.push_back(replayExperiments(*capture, command.head.layer, command.head.head, run.control));
  } else {
    const CaptureHeader& header = capture->header();
    for (int layer = 0; layer < header.layers; ++layer) {
      for (int head = 0; head < capture->layer(layer).heads; ++head) {
        run.control.checkpoint("experiments", std::int64_t{layer} * header.heads + head,
                               std::int64_t{header.layers} * header.heads);
        replays.push_back(replayExperiments(*capture, layer, head, run.control));
      }
    }
  }
  if (command.output.json) {
    printJson(replayJson(replays));
  } else {
    printText(command.output.csv ? replayTable(replays, csvNumber).csv() : replayTable(replays, shortNumber).aligned());
  }
}

}  // namespace

void addReplay(CommandLine& line) {
  const auto options = std::make_shared<ReplayCommand>();
  CLI::App& command =
      line.add("replay", "The paper's two experiments on one head or on all: move the dominant channel, lower the base",
               [options](Run& run) { runReplay(*options, run); });
  addSource(command, options->source);
  addHead(command, options->head, false);
  addJson(command, options->output);
  addCsv(command, options->output);
  line.setSubject(command, options->source.path);
}

}  // namespace headscope::cli
