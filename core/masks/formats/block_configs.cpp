// A model of uneven layers as DeciLM and nemotron-nas checkpoints declare it in config.json:
//   "block_configs": [{"attention": {"n_heads_in_group": 8, "no_op": false, "replace_with_linear": false},
//                      "ffn": {"ffn_mult": 2.625, "no_op": false, "replace_with_linear": false}}, …]
// one entry a layer; KV heads = num_attention_heads / n_heads_in_group. A layer without attention counts as pruned.

#include "core/files/atomic_file.h"
#include "core/masks/formats/mask_format.h"

namespace headscope::masks {
namespace {

bool recognises(const MaskInput& input) {
  return input.looksLikeJson() && input.json().is_object() && input.json().contains("block_configs");
}

// KV heads of one layer; 0 where its attention is gone.
int readBlock(const MaskInput& input, const Json& entry, std::size_t layer, int heads, MaskDocument& document) {
  const JsonReader block(entry, concat(input.where(), ": block_configs[", layer, "]"));
  const JsonReader attention(block.at("attention"), block.where() + ".attention");
  const bool linear = attention.booleanOr("replace_with_linear", false);
  if (attention.booleanOr("no_op", false) || linear) {
    if (attention.has("n_heads_in_group")) {
      attention.fail("has both a group size and no attention");
    }
    const bool wholeLayer =
        block.has("ffn") && JsonReader(block.at("ffn"), block.where() + ".ffn").booleanOr("no_op", false);
    if (!wholeLayer) {
      document.warnings.push_back(
          concat("layer ", layer, " loses only its attention", linear ? " (replaced by a linear map)" : ""));
    }
    return 0;
  }
  const auto group = attention.integer("n_heads_in_group", 1, kMostHeads);
  if (heads % group != 0) {
    attention.fail(concat("\"n_heads_in_group\" is ", group, ", which doesn't divide ", heads, " heads"));
  }
  return static_cast<int>(heads / group);
}

MaskDocument read(const MaskInput& input, const MaskHints& hints) {
  const JsonReader file(input.json(), input.where());
  const Json& blocks = file.at("block_configs");
  if (!blocks.is_array() || blocks.empty() || blocks.size() > kMostLayers) {
    file.fail("\"block_configs\" is no list of layers");
  }
  MaskDocument document;
  document.axis = MaskAxis::Layer;
  document.direction = MaskDirection::Keep;
  document.shape.layers = static_cast<int>(blocks.size());
  if (file.integerOr("num_hidden_layers", document.shape.layers, 0, kMostLayers) != document.shape.layers) {
    file.fail(concat("\"num_hidden_layers\" contradicts \"block_configs\", which has ", blocks.size(), " entries"));
  }
  document.shape.heads = static_cast<int>(file.integerOr("num_attention_heads", 0, 1, kMostHeads));
  MaskHints known = hints;
  known.shape.kvHeads = 0;  // differs from layer to layer here
  completeShape(input, known, document);
  if (document.shape.heads == 0) {
    neededHeads(input, MaskHints{std::nullopt, {document.shape.layers, 0, 0}, std::nullopt}, MaskAxis::Query);
  }
  for (std::size_t layer = 0; layer < blocks.size(); ++layer) {
    document.kvHeadsPerLayer.push_back(readBlock(input, blocks[layer], layer, document.shape.heads, document));
    document.keep.push_back(document.kvHeadsPerLayer.back() > 0 ? 1 : 0);
  }
  return document;
}

OrderedJson blockEntry(int groupSize, bool kept, const MaskWriteOptions& options) {
  OrderedJson attention;
  attention["n_heads_in_group"] = kept ? OrderedJson(groupSize) : OrderedJson(nullptr);
  attention["no_op"] = !kept;
  attention["replace_with_linear"] = false;
  OrderedJson ffn;
  if (!kept || options.ffnMult) {
    ffn["ffn_mult"] = kept ? OrderedJson(*options.ffnMult) : OrderedJson(nullptr);
  }
  ffn["no_op"] = !kept;
  ffn["replace_with_linear"] = false;
  return {{"attention", attention}, {"ffn", ffn}};
}

void write(const std::filesystem::path& path, const MaskDocument& document, const MaskWriteOptions& options) {
  demandLayers(path, document);
  const MaskShape& shape = document.shape;
  const bool own = document.kvHeadsPerLayer.size() == document.keep.size();
  demandShape(path, shape.heads > 0 && (own || shape.kvHeads > 0), "heads and KV heads");
  OrderedJson blocks = OrderedJson::array();
  for (std::size_t layer = 0; layer < document.keep.size(); ++layer) {
    const bool kept = document.keep[layer] != 0;
    const int kvHeads = own && kept ? document.kvHeadsPerLayer[layer] : shape.kvHeads;
    blocks.push_back(blockEntry(kept ? shape.heads / kvHeads : 0, kept, options));
  }
  OrderedJson file;
  file["num_hidden_layers"] = shape.layers;
  file["num_attention_heads"] = shape.heads;
  file["block_configs"] = std::move(blocks);
  writeFile(path, jsonText(file));
}

}  // namespace

const MaskFormat& blockConfigsFormat() {
  static const MaskFormat format{MaskKind::BlockConfigs, recognises, read, write};
  return format;
}

}  // namespace headscope::masks
