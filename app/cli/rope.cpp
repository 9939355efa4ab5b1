// rope: a head's RoPE channels, and its logits by distance, predicted and measured.

#include <cmath>
#include <memory>

#include "app/cli/command.h"
#include "app/cli/head_options.h"
#include "app/cli/output.h"
#include "app/cli/source.h"
#include "core/analysis/rope_lens.h"
#include "core/files/atomic_file.h"

namespace headscope::cli {
namespace {

struct RopeCommand {
  SourceOptions source;
  HeadOptions head;
  InterventionOptions interventions;
  OutputOptions output;
};

template <typename Number>
OrderedJson orNull(const std::optional<Number>& value) {
  return value ? OrderedJson(*value) : OrderedJson(nullptr);
}

OrderedJson lensJson(const RopeLens& lens) {
  OrderedJson json;
  json["channels"] = OrderedJson::array();
  for (const RopeChannel& channel : lens.spectrum.channels) {
    OrderedJson entry;
    entry["m"] = channel.m;
    entry["inv_freq"] = channel.invFreq;
    entry["wavelength"] = channel.wavelength;
    entry["strength"] = channel.strength;
    entry["share"] = channel.share;
    json["channels"].push_back(std::move(entry));
  }
  json["dominant"] = orNull(lens.spectrum.dominant);
  json["dominance"] = orNull(lens.spectrum.dominance);
  json["predicted_by_distance"] = lens.predictedByDistance;
  json["measured_by_distance"] = lens.measuredByDistance;
  json["predicted_period"] = orNull(lens.spectrum.predictedPeriod);
  json["measured_period"] = lens.measuredPeriod ? OrderedJson(lens.measuredPeriod->tokens) : OrderedJson(nullptr);
  json["measured_period_strength"] = lens.measuredPeriod ? lens.measuredPeriod->strength : 0.0;
  return json;
}

Table channelTable(const RopeLens& lens, std::string (*number)(double)) {
  Table table({"m", "inv_freq", "wavelength", "strength", "share"});
  for (const RopeChannel& channel : lens.spectrum.channels) {
    table.addRow({std::to_string(channel.m), number(channel.invFreq), number(channel.wavelength),
                  number(channel.strength), number(channel.share)});
  }
  return table;
}

std::string describe(const RopeLens& lens) {
  std::string text = channelTable(lens, shortNumber).aligned();
  if (lens.spectrum.dominant) {
    text += concat("dominant channel ", *lens.spectrum.dominant, ", dominance ",
                   shortNumber(lens.spectrum.dominance.value_or(std::nan(""))), ", predicted period ",
                   shortNumber(lens.spectrum.predictedPeriod.value_or(std::nan(""))), " tokens\n");
  }
  if (lens.measuredPeriod) {
    text += concat("measured period ", shortNumber(lens.measuredPeriod->tokens), " tokens, strength ",
                   shortNumber(lens.measuredPeriod->strength), "\n");
  }
  return text;
}

void writeResult(const std::string& file, const RopeLens& lens) {
  const bool csv = std::filesystem::path(file).extension() == ".csv";
  writeFile(file, csv ? channelTable(lens, csvNumber).csv() : jsonText(lensJson(lens)));
}

void runRope(const RopeCommand& command, const Run& run) {
  const Interventions interventions = command.interventions.interventions();
  const auto capture = openSource(command.source, run.control);
  checkHead(*capture, command.source.path, command.head.layer, command.head.head);
  const RopeLens lens =
      ropeLens(makeHeadVectors(*capture, command.head.layer, command.head.head, interventions), run.control);
  if (!command.output.out.empty()) {
    writeResult(command.output.out, lens);
  }
  if (command.output.json) {
    printJson(lensJson(lens));
  } else if (command.output.csv) {
    printText(channelTable(lens, csvNumber).csv());
  } else {
    printText(describe(lens));
  }
}

}  // namespace

void addRope(CommandLine& line) {
  const auto options = std::make_shared<RopeCommand>();
  CLI::App& command = line.add("rope", "RoPE channels of one head, logits by distance",
                               [options](Run& run) { runRope(*options, run); });
  addSource(command, options->source);
  addHead(command, options->head, true);
  addInterventions(command, options->interventions);
  addJson(command, options->output);
  addCsv(command, options->output);
  addOut(command, options->output, {".json", ".csv"});
  line.setSubject(command, options->source.path);
}

}  // namespace headscope::cli
