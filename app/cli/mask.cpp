// mask convert | check | show: the mask formats of the field.

#include <algorithm>
#include <charconv>
#include <memory>

#include "app/cli/command.h"
#include "app/cli/mask_model.h"
#include "app/cli/output.h"
#include "core/masks/mask_conversion.h"
#include "core/masks/mask_file.h"

namespace headscope::cli {
namespace {

struct MaskOptions {
  std::string file;
  std::string from, axis, model, shape;  // what the file doesn't say
  std::string to, out, rule, name;       // convert
  MaskCut cut;
  OutputOptions output;
};

const std::vector<std::string> kAxes{"query", "kv", "layer"};
const std::vector<std::string> kRules{"any", "all", "mean"};

std::vector<std::string> kindNames() {
  std::vector<std::string> names;
  for (const MaskKind kind : allMaskKinds()) {
    names.emplace_back(maskKindName(kind));
  }
  return names;
}

// "L", "L,H" or "L,H,G".
MaskShape parseShape(const std::string& text) {
  std::vector<int> numbers;
  const char* at = text.data();
  const char* const end = text.data() + text.size();
  while (true) {
    int value = 0;
    const auto [next, error] = std::from_chars(at, end, value);
    if (error != std::errc() || value < 1 || numbers.size() == 3 || (next != end && *next != ',')) {
      wrongUse("--shape is \"" + text + "\", expected L,H,G: layers, heads and KV heads");
    }
    numbers.push_back(value);
    if (next == end) {
      break;
    }
    at = next + 1;
  }
  numbers.resize(3, 0);
  return {numbers[0], numbers[1], numbers[2]};
}

MaskHints hintsOf(const MaskOptions& options) {
  MaskHints hints;
  if (!options.from.empty()) {
    hints.kind = maskKindFromName(options.from);
  }
  if (!options.axis.empty()) {
    hints.axis = options.axis == "query" ? MaskAxis::Query : options.axis == "kv" ? MaskAxis::Kv : MaskAxis::Layer;
  }
  if (!options.model.empty()) {
    hints.shape = shapeOfModel(options.model);
  } else if (!options.shape.empty()) {
    hints.shape = parseShape(options.shape);
  }
  return hints;
}

OrderedJson scoreRows(const MaskDocument& document) {
  if (document.axis == MaskAxis::Layer) {
    return document.scores;
  }
  OrderedJson rows = OrderedJson::array();
  const auto perLayer = static_cast<std::ptrdiff_t>(document.entries());
  for (auto at = document.scores.begin(); at != document.scores.end(); at += perLayer) {
    rows.push_back(std::vector<double>(at, at + perLayer));
  }
  return rows;
}

OrderedJson groupsJson(const MaskDocument& document) {
  OrderedJson groups = OrderedJson::array();
  for (const KvGroup& group : kvGroups(headMask(document))) {
    if (group.removable()) {
      groups.push_back({group.layer, group.kvHead});
    }
  }
  return groups;
}

OrderedJson documentJson(const MaskDocument& document) {
  const bool layers = document.axis == MaskAxis::Layer;
  OrderedJson json;
  json["kind"] = maskKindName(document.kind);
  json["axis"] = maskAxisName(document.axis);
  json["direction"] = maskDirectionName(document.direction);
  json["layers"] = document.shape.layers;
  json["heads"] = layers ? OrderedJson(nullptr) : OrderedJson(document.entries());
  json["kv_heads"] = !layers && document.shape.kvHeads > 0 ? OrderedJson(document.shape.kvHeads) : OrderedJson(nullptr);
  json["pruned"] = OrderedJson::array();
  for (const auto& [layer, head] : document.pruned()) {
    json["pruned"].push_back({layer, head});
  }
  if (layers) {
    json["pruned_layers"] = document.prunedLayers();
  }
  if (document.axis == MaskAxis::Query && document.shape.kvHeads > 0 && !document.keep.empty()) {
    json["removable_kv_heads"] = groupsJson(document);
  }
  if (!document.scores.empty()) {
    json["scores"] = scoreRows(document);
  }
  if (!document.order.empty()) {
    json["prune_order"] = document.order;
  }
  if (!document.kvHeadsPerLayer.empty()) {
    json["kv_heads_per_layer"] = document.kvHeadsPerLayer;
  }
  if (!document.model.empty()) {
    json["model"] = document.model;
  }
  json["warnings"] = document.allWarnings();
  return json;
}

std::string describe(const MaskDocument& document) {
  const bool layers = document.axis == MaskAxis::Layer;
  std::string text = concat(maskKindName(document.kind), ": ", maskAxisName(document.axis), " axis, ",
                            maskDirectionName(document.direction), ", ", document.shape.layers, " layers");
  text += layers ? std::string("\n") : concat(" of ", document.entries(), "\n");
  if (document.keep.empty()) {
    text += document.order.empty() ? "scores, no mask\n" : "an order, no mask\n";
  }
  for (const auto& [layer, head] : document.pruned()) {
    text += concat("pruned: layer ", layer, ", head ", head, "\n");
  }
  for (const int layer : document.prunedLayers()) {
    text += concat("pruned: layer ", layer, "\n");
  }
  for (const std::string& warning : document.allWarnings()) {
    text += concat("warning: ", warning, "\n");
  }
  return text;
}

void print(const MaskDocument& document, const OutputOptions& output) {
  if (output.json) {
    printJson(documentJson(document));
  } else {
    printText(describe(document));
  }
}

void show(const MaskOptions& options) {
  MaskDocument document = readMask(options.file, hintsOf(options));
  if (options.cut.any()) {
    document = cutMask(document, options.cut);
  }
  print(document, options.output);
}

void check(const MaskOptions& options) {
  const MaskDocument document = readMask(options.file, hintsOf(options));
  if (!document.misreadings.empty()) {
    throw Error(options.file, document.misreadings.front());
  }
  print(document, options.output);
}

void convert(const MaskOptions& options) {
  const MaskDocument document = readMask(options.file, hintsOf(options));
  MaskConversion conversion{options.cut, std::nullopt};
  if (!options.rule.empty()) {
    conversion.rule = options.rule == "any" ? GroupRule::Any : options.rule == "all" ? GroupRule::All : GroupRule::Mean;
  }
  const MaskKind kind = *maskKindFromName(options.to);
  const MaskDocument converted = convertMask(document, kind, conversion);
  MaskWriteOptions write;
  write.model = options.name;
  if (!options.model.empty()) {
    write.ffnMult = ffnMultOfModel(options.model);
  }
  writeMask(options.out, kind, converted, write);
  print(converted, options.output);
}

void addFileOptions(CLI::App& command, MaskOptions& options) {
  command.add_option("FILE", options.file, "A mask file or label folder")->required();
  command.add_option("--from", options.from, "Its kind, where the file does not tell")
      ->check(CLI::IsMember(kindNames()));
  command.add_option("--axis", options.axis, "The axis that it must have: query, kv or layer")
      ->check(CLI::IsMember(kAxes));
  CLI::Option* model =
      command.add_option("--model", options.model, "The model (or a capture of it) that gives the shape");
  command.add_option("--shape", options.shape, "L,H,G: layers, heads, KV heads that the file lacks")->excludes(model);
  addJson(command, options.output);
}

void addCut(CLI::App& command, MaskCut& cut) {
  CLI::Option* threshold = command.add_option("--threshold", cut.threshold, "Keep scores of at least this");
  CLI::Option* sparsity =
      command.add_option("--sparsity", cut.sparsity, "Keep scores of at least this quantile, 0 to 1")
          ->check(CLI::Range(0.0, 1.0))
          ->excludes(threshold);
  command.add_option("--count", cut.count, "Drop this many: the lowest scores, or the first of an order")
      ->check(CLI::Range(0, 1 << 30))
      ->excludes(threshold)
      ->excludes(sparsity);
}

}  // namespace

void addMask(CommandLine& line) {
  CLI::App& mask = line.addGroup("mask", "Masks and prune orders: convert, check, show");
  mask.require_subcommand(1);
  const auto options = std::make_shared<MaskOptions>();

  CLI::App& showing = line.addTo(mask, "show", "What a mask file says", [options](Run&) { show(*options); });
  addFileOptions(showing, *options);
  addCut(showing, options->cut);
  line.setSubject(showing, options->file);

  CLI::App& checking = line.addTo(mask, "check", "Whether its readers would read a mask file as it is meant",
                                  [options](Run&) { check(*options); });
  addFileOptions(checking, *options);
  line.setSubject(checking, options->file);

  CLI::App& converting =
      line.addTo(mask, "convert", "Write a mask in another format", [options](Run&) { convert(*options); });
  addFileOptions(converting, *options);
  addCut(converting, options->cut);
  converting.add_option("--to", options->to, "The kind to write")->required()->check(CLI::IsMember(kindNames()));
  converting.add_option("--out", options->out, "The file (duo_attention: folder) to write")->required();
  converting.add_option("--rule", options->rule, "When a KV head is kept: if any, all or half of its query heads are")
      ->check(CLI::IsMember(kRules));
  converting.add_option("--name", options->name, "The model's name (mergekit)");
  line.setSubject(converting, options->file);
}

}  // namespace headscope::cli
