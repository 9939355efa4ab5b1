// CoFiPruning's zs.pt (arXiv 2204.00408): torch.save of a dict of tensors, `head_z` [layers, 1, heads, 1, 1] and
// perhaps `head_layer_z` [layers]; greater than 0 = kept, a head needs both. Read only.

#include "core/files/tensor_view.h"
#include "core/masks/formats/mask_format.h"
#include "core/masks/formats/torch_pickle.h"

namespace headscope::masks {
namespace {

bool recognises(const MaskInput& input) {
  const std::string& bytes = input.bytes();
  const bool pickle = bytes.size() > 2 && bytes[0] == '\x80' && bytes[1] >= 2 && bytes[1] <= 5;
  return bytes.starts_with("PK\x03\x04") || pickle;
}

MaskDocument read(const MaskInput& input, const MaskHints& hints) {
  const auto tensors = readTorchTensors(input.bytes(), input.where());
  const auto heads = tensors.find("head_z");
  if (heads == tensors.end()) {
    input.fail("holds no tensor \"head_z\"");
  }
  const SavedTensor& head = heads->second;
  MaskDocument document;
  document.direction = MaskDirection::Keep;
  const bool wide = head.shape.size() == 5 && head.shape[1] == 1 && head.shape[3] == 1 && head.shape[4] == 1;
  if (!(wide || head.shape.size() == 2) || head.values.empty() || head.shape[0] > kMostLayers) {
    input.fail(concat("\"head_z\" has shape ", shapeText(head.shape), ", expected [layers, 1, heads, 1, 1]"));
  }
  document.shape.layers = static_cast<int>(head.shape[0]);
  document.shape.heads = static_cast<int>(head.shape[wide ? 2 : 1]);
  completeShape(input, hints, document);
  const auto layers = tensors.find("head_layer_z");
  if (layers != tensors.end() && layers->second.values.size() != static_cast<std::size_t>(document.shape.layers)) {
    input.fail(concat("\"head_layer_z\" has shape ", shapeText(layers->second.shape), " for ", document.shape.layers,
                      " layers"));
  }
  for (std::size_t index = 0; index < head.values.size(); ++index) {
    const std::size_t layer = index / static_cast<std::size_t>(document.shape.heads);
    const bool layerKept = layers == tensors.end() || layers->second.values[layer] > 0;
    document.keep.push_back(layerKept && head.values[index] > 0 ? 1 : 0);
  }
  return document;
}

}  // namespace

const MaskFormat& cofiFormat() {
  static const MaskFormat format{MaskKind::Cofi, recognises, read, nullptr};
  return format;
}

}  // namespace headscope::masks
