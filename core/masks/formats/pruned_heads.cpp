// Hugging Face's head pruning, `prune_heads` and `config.pruned_heads` (transformers v4): {"0": [1], "1": [2, 3]},
// query heads, listed = removed. The file knows no shape.

#include <algorithm>

#include "core/files/atomic_file.h"
#include "core/masks/formats/mask_format.h"

namespace headscope::masks {
namespace {

// The map itself, or a model's config.json that holds it.
const Json* prunedMap(const Json& json) {
  if (!json.is_object()) {
    return nullptr;
  }
  const auto inside = json.find("pruned_heads");
  return inside != json.end() ? &*inside : &json;
}

bool recognises(const MaskInput& input) {
  if (!input.looksLikeJson()) {
    return false;
  }
  const Json* map = prunedMap(input.json());
  if (map == nullptr || !map->is_object()) {
    return false;
  }
  return map != &input.json() || std::all_of(map->items().begin(), map->items().end(), [](const auto& item) {
           return wholeNumber(std::string_view(item.key()), kMostLayers - 1).has_value() && item.value().is_array();
         });
}

MaskDocument read(const MaskInput& input, const MaskHints& hints) {
  const Json* map = prunedMap(input.json());
  if (map == nullptr || !map->is_object()) {
    input.fail("is no map from layers to pruned heads");
  }
  MaskDocument document;
  document.direction = MaskDirection::Drop;
  document.shape = neededHeads(input, hints, MaskAxis::Query);
  keepAll(document);
  for (const auto& [key, heads] : map->items()) {
    const auto layer = wholeNumber(std::string_view(key), kMostLayers - 1);
    if (!layer || !heads.is_array()) {
      input.fail(concat("has \"", key.substr(0, 60), "\", expected a layer and a list of its pruned heads"));
    }
    for (const Json& head : heads) {
      const auto index = wholeNumber(head, kMostHeads - 1);
      if (!index) {
        input.fail(
            concat("prunes head ", head.dump().substr(0, 60), " of layer ", *layer, ", which is no head number"));
      }
      dropHead(input, document, *layer, *index);
    }
    if (*layer >= document.shape.layers) {
      input.fail(concat("names layer ", *layer, ", but there are ", document.shape.layers, " layers"));
    }
  }
  return document;
}

void write(const std::filesystem::path& path, const MaskDocument& document, const MaskWriteOptions&) {
  demandHeads(path, document, MaskAxis::Query);
  OrderedJson map = OrderedJson::object();
  const auto layers = prunedByLayer(document);
  for (std::size_t layer = 0; layer < layers.size(); ++layer) {
    if (!layers[layer].empty()) {
      map[std::to_string(layer)] = layers[layer];
    }
  }
  writeFile(path, jsonText(map, JsonLayout::Line));
}

}  // namespace

const MaskFormat& prunedHeadsFormat() {
  static const MaskFormat format{MaskKind::PrunedHeads, recognises, read, write};
  return format;
}

}  // namespace headscope::masks
