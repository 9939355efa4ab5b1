// Which layers a model loses. mergekit's passthrough merge (as PruneMe writes it) lists ranges of layers that stay, the
// end exclusive; llama.cpp's `llama-quantize --prune-layers 3,7,11` lists those that go.

#include <algorithm>

#include "core/files/atomic_file.h"
#include "core/masks/formats/mask_format.h"
#include "core/masks/formats/yaml_subset.h"

namespace headscope::masks {
namespace {

constexpr const char* kPruneOption = "--prune-layers";

bool recognisesMergekit(const MaskInput& input) {
  return !input.looksLikeJson() && input.isText() && input.bytes().find("slices:") != std::string::npos;
}

struct Slice {
  std::string model;
  int begin = 0, end = 0;
};

Slice readSlice(const MaskInput& input, const Json& entry) {
  const JsonReader slice(entry, concat(input.where(), ": a slice"));
  const Json& sources = slice.at("sources");
  if (!sources.is_array() || sources.size() != 1) {
    slice.fail("merges several sources; a layer cut has one in each slice");
  }
  const JsonReader source(sources.front(), concat(input.where(), ": a slice's source"));
  Slice result;
  result.model = source.string("model");
  const Json& range = source.at("layer_range");
  const auto bound = [&](std::size_t at) {
    return range.is_array() && range.size() == 2 && range[at].is_string()
               ? wholeNumber(std::string_view(range[at].get_ref<const std::string&>()), kMostLayers)
               : std::nullopt;
  };
  const auto begin = bound(0);
  const auto end = bound(1);
  if (!begin || !end || *begin >= *end) {
    source.fail(concat("\"layer_range\" is ", range.dump().substr(0, 60), ", expected [first, last + 1]"));
  }
  result.begin = *begin;
  result.end = *end;
  return result;
}

std::vector<Slice> readSlices(const MaskInput& input) {
  const Json yaml = parseYaml(input.bytes(), input.where());
  const JsonReader file(yaml, input.where());
  const Json& list = file.at("slices");
  if (!list.is_array() || list.empty()) {
    file.fail("\"slices\" is no list");
  }
  if (file.stringOr("merge_method", "passthrough") != "passthrough") {
    file.fail("\"merge_method\" is not passthrough: this merges weights and is no cut");
  }
  std::vector<Slice> slices;
  for (const Json& entry : list) {
    const Slice slice = readSlice(input, entry);
    if (!slices.empty() && slice.model != slices.front().model) {
      input.fail("takes layers from more than one model");
    }
    if (!slices.empty() && slice.begin < slices.back().end) {
      input.fail(concat("has overlapping or unordered layer ranges: [", slices.back().begin, ", ", slices.back().end,
                        "] and [", slice.begin, ", ", slice.end, "]"));
    }
    slices.push_back(slice);
  }
  return slices;
}

MaskDocument readMergekit(const MaskInput& input, const MaskHints& hints) {
  if (!input.isText()) {
    input.fail("is no text");
  }
  const std::vector<Slice> slices = readSlices(input);
  MaskDocument document;
  document.axis = MaskAxis::Layer;
  document.direction = MaskDirection::Keep;
  document.model = slices.front().model;
  document.shape = hints.shape;
  document.shape.layers = neededLayers(input, hints);
  if (slices.back().end > document.shape.layers) {
    input.fail(concat("keeps layers up to ", slices.back().end, ", but there are ", document.shape.layers));
  }
  document.keep.assign(static_cast<std::size_t>(document.shape.layers), 0);
  for (const Slice& slice : slices) {
    std::fill(document.keep.begin() + slice.begin, document.keep.begin() + slice.end, std::uint8_t{1});
  }
  return document;
}

void writeMergekit(const std::filesystem::path& path, const MaskDocument& document, const MaskWriteOptions& options) {
  demandLayers(path, document);
  const std::string model = options.model.empty() ? document.model : options.model;
  if (model.empty()) {
    throw Error(path.string(), "needs the name of the model to cut: give --name MODEL", ErrorKind::Usage);
  }
  std::string text = "slices:\n";
  const auto& keep = document.keep;
  bool any = false;
  for (auto at = std::find(keep.begin(), keep.end(), 1); at != keep.end(); at = std::find(at, keep.end(), 1)) {
    const auto end = std::find(at, keep.end(), 0);
    text += concat("  - sources:\n      - model: ", yamlScalar(model), "\n        layer_range: [", at - keep.begin(),
                   ", ", end - keep.begin(), "]\n");
    at = end;
    any = true;
  }
  if (!any) {
    throw Error(path.string(), "needs at least one layer that is kept");
  }
  writeFile(path, text + "merge_method: passthrough\ndtype: bfloat16\n");
}

// The list itself: what follows the option, or the whole file where only numbers and commas stand.
std::optional<std::string_view> layerList(const std::string& bytes) {
  std::string_view text = bytes;
  const std::size_t option = text.find(kPruneOption);
  if (option != std::string_view::npos) {
    text.remove_prefix(option + std::string_view(kPruneOption).size());
    text.remove_prefix(std::min(text.find_first_not_of(" =\t"), text.size()));
    return text.substr(0, text.find_first_of(" \t\r\n"));
  }
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos || text.find_first_not_of("0123456789, \t\r\n") != std::string_view::npos) {
    return std::nullopt;
  }
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

bool recognisesLlamaCpp(const MaskInput& input) {
  return input.isText() && layerList(input.bytes()).has_value();
}

MaskDocument readLlamaCpp(const MaskInput& input, const MaskHints& hints) {
  const auto list = input.isText() ? layerList(input.bytes()) : std::nullopt;
  if (!list) {
    input.fail("is no list of layers as in \"3,7,11\"");
  }
  MaskDocument document;
  document.axis = MaskAxis::Layer;
  document.direction = MaskDirection::Drop;
  document.shape = hints.shape;
  document.shape.layers = neededLayers(input, hints);
  keepAll(document);
  std::size_t at = 0;
  while (at <= list->size()) {
    const std::size_t end = std::min(list->find(',', at), list->size());
    const auto layer = wholeNumber(list->substr(at, end - at), kMostLayers - 1);
    if (!layer) {
      input.fail(concat("names the layer \"", list->substr(at, std::min<std::size_t>(end - at, 40)),
                        "\", expected numbers with commas between them and no blanks"));
    }
    dropLayer(input, document, *layer);
    at = end + 1;
  }
  return document;
}

void writeLlamaCpp(const std::filesystem::path& path, const MaskDocument& document, const MaskWriteOptions&) {
  demandLayers(path, document);
  std::string list;
  for (const int layer : document.prunedLayers()) {
    list += concat(list.empty() ? "" : ",", layer);
  }
  if (list.empty()) {
    throw Error(path.string(), "needs at least one layer that goes");
  }
  writeFile(path, concat(kPruneOption, " ", list, "\n"));
}

}  // namespace

const MaskFormat& mergekitFormat() {
  static const MaskFormat format{MaskKind::Mergekit, recognisesMergekit, readMergekit, writeMergekit};
  return format;
}

const MaskFormat& llamaCppFormat() {
  static const MaskFormat format{MaskKind::LlamaCpp, recognisesLlamaCpp, readLlamaCpp, writeLlamaCpp};
  return format;
}

}  // namespace headscope::masks
