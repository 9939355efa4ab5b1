// MInference's head patterns (arXiv 2407.02490): a list by layer of maps by head,
// [{"0": ["vertical_and_slash", 1000, 6096, 0.96], "1": ["stream_llm", 100, 800, 0.965]}]: pattern, number of vertical
// lines (or first tokens), of slashes (or last tokens), score of the search. A head that is missing is
// vertical_and_slash. Pruned = stream_llm: the head sees only the first and the last tokens.

#include <algorithm>
#include <array>

#include "core/files/atomic_file.h"
#include "core/masks/formats/mask_format.h"

namespace headscope::masks {
namespace {

constexpr std::array<const char*, 3> kPatterns{"vertical_and_slash", "stream_llm", "block_sparse"};
constexpr const char* kStreaming = "stream_llm";

bool recognises(const MaskInput& input) {
  if (!input.looksLikeJson() || !input.json().is_array() || input.json().empty()) {
    return false;
  }
  return std::all_of(input.json().begin(), input.json().end(), [](const Json& layer) {
    return layer.is_object() && std::all_of(layer.items().begin(), layer.items().end(), [](const auto& item) {
             return wholeNumber(std::string_view(item.key()), kMostHeads - 1).has_value();
           });
  });
}

bool isStreaming(const MaskInput& input, std::size_t layer, const std::string& head, const Json& entry) {
  const bool form = entry.is_array() && entry.size() == 4 && entry[0].is_string() && entry[1].is_number() &&
                    entry[2].is_number() && entry[3].is_number();
  if (!form || std::find(kPatterns.begin(), kPatterns.end(), entry[0].get<std::string>()) == kPatterns.end()) {
    input.fail(concat("holds ", entry.dump().substr(0, 60), " for head ", head, " of layer ", layer,
                      ", expected [pattern, number, number, score] with a pattern of MInference"));
  }
  return entry[0] == kStreaming;
}

MaskDocument read(const MaskInput& input, const MaskHints& hints) {
  const Json& layers = input.json();
  if (!layers.is_array() || layers.empty() || layers.size() > kMostLayers) {
    input.fail("is no list of layers");
  }
  std::vector<std::pair<int, int>> listed;
  std::vector<std::pair<int, int>> streaming;
  for (std::size_t layer = 0; layer < layers.size(); ++layer) {
    if (!layers[layer].is_object()) {
      input.fail(concat("has no map of heads for layer ", layer));
    }
    for (const auto& [key, entry] : layers[layer].items()) {
      const auto head = wholeNumber(std::string_view(key), kMostHeads - 1);
      if (!head) {
        input.fail(concat("has the key \"", key.substr(0, 60), "\" in layer ", layer, ", expected a head number"));
      }
      listed.emplace_back(static_cast<int>(layer), *head);
      if (isStreaming(input, layer, key, entry)) {
        streaming.push_back(listed.back());
      }
    }
  }
  MaskDocument document;
  document.direction = MaskDirection::Keep;
  shapeFromComplete(listed, document.shape);
  document.shape.layers = static_cast<int>(layers.size());
  completeShape(input, hints, document);
  if (document.shape.heads == 0) {
    document.shape = neededHeads(input, hints, MaskAxis::Query);
  }
  keepAll(document);
  for (const auto& [layer, head] : listed) {
    if (head >= document.shape.heads) {
      input.fail(concat("names head ", head, " of layer ", layer, ", but there are ", document.shape.heads, " heads"));
    }
  }
  for (const auto& [layer, head] : streaming) {
    dropHead(input, document, layer, head);
  }
  return document;
}

void write(const std::filesystem::path& path, const MaskDocument& document, const MaskWriteOptions&) {
  demandHeads(path, document, MaskAxis::Query);
  OrderedJson layers = OrderedJson::array();
  const auto heads = static_cast<std::size_t>(document.shape.heads);
  for (std::size_t index = 0; index < document.keep.size(); ++index) {
    if (index % heads == 0) {
      layers.push_back(OrderedJson::object());
    }
    layers.back()[std::to_string(index % heads)] = document.keep[index] != 0
                                                       ? OrderedJson{"vertical_and_slash", 1000, 6096, 1.0}
                                                       : OrderedJson{kStreaming, 100, 800, 1.0};
  }
  writeFile(path, jsonText(layers, JsonLayout::Line));
}

}  // namespace

const MaskFormat& minferenceFormat() {
  static const MaskFormat format{MaskKind::Minference, recognises, read, write};
  return format;
}

}  // namespace headscope::masks
