// gallery: the heads constructed from TAPPA's theorems as a capture file, and which head is which case.

#include <memory>

#include "app/cli/command.h"
#include "app/cli/output.h"
#include "core/analysis/constructed_heads.h"

namespace headscope::cli {
namespace {

struct GalleryCommand {
  double noise = 0.05;
  unsigned seed = 1;
  OutputOptions output;
};

template <typename Number>
OrderedJson orNull(const std::optional<Number>& value) {
  return value ? OrderedJson(*value) : OrderedJson(nullptr);
}

OrderedJson galleryJson(const GalleryCommand& command, const std::vector<ConstructedHead>& heads) {
  OrderedJson json;
  json["capture"] = command.output.out;
  json["tokens"] = heads.front().plan.tokens;
  json["noise"] = command.noise;
  json["seed"] = command.seed;
  json["heads"] = OrderedJson::array();
  for (std::size_t index = 0; index < heads.size(); ++index) {
    const ConstructedHead& head = heads[index];
    OrderedJson entry;
    entry["layer"] = 0;
    entry["head"] = index;
    entry["case"] = caseKey(head.plan.kind);
    entry["built_from"] = constructedFrom(head.plan.kind);
    entry["dominant_channel"] = orNull(head.dominantChannel);
    entry["period"] = orNull(head.period);
    entry["offset"] = orNull(head.offset);
    entry["columns"] = head.columns;
    entry["note"] = head.note();
    json["heads"].push_back(std::move(entry));
  }
  return json;
}

void runGallery(const GalleryCommand& command, const Run& run) {
  const std::vector<ConstructedHead> heads = gallery(command.noise, command.seed);
  galleryCapture(command.noise, command.seed)->save(command.output.out, run.control);
  if (command.output.json) {
    printJson(galleryJson(command, heads));
    return;
  }
  Table table({"layer", "head", "case", "built from", "what to look for"});
  for (std::size_t index = 0; index < heads.size(); ++index) {
    const Case kind = heads[index].plan.kind;
    table.addRow({"0", std::to_string(index), std::string(caseKey(kind)), std::string(constructedFrom(kind)),
                  heads[index].explanation});
  }
  printText(table.aligned());
}

}  // namespace

void addGallery(CommandLine& line) {
  const auto options = std::make_shared<GalleryCommand>();
  CLI::App& command = line.add("gallery", "Heads built from TAPPA's theorems, one per case, as a capture",
                               [options](Run& run) { runGallery(*options, run); });
  command.add_option("--noise", options->noise, "Noise on every element of q and k, as a share of their rms")
      ->check(CLI::Range(0.0, 10.0));
  command.add_option("--seed", options->seed, "Of the noise and of what the theorems leave open");
  addJson(command, options->output);
  addOut(command, options->output, {".safetensors"});
  command.get_option("--out")->required();
  line.setSubject(command, options->output.out);
}

}  // namespace headscope::cli
