#include "core/masks/mask_document.h"

#include <algorithm>
#include <array>

#include "core/base/error.h"

namespace headscope {
namespace {

constexpr std::array<std::pair<MaskKind, const char*>, 17> kNames{{
    {MaskKind::Headscope, "headscope"},
    {MaskKind::PrunedHeads, "pruned_heads"},
    {MaskKind::Bertology, "bertology"},
    {MaskKind::Safetensors, "safetensors"},
    {MaskKind::DuoAttention, "duo_attention"},
    {MaskKind::Prulong, "prulong"},
    {MaskKind::RetrievalHead, "retrieval_head"},
    {MaskKind::QrHead, "qrhead"},
    {MaskKind::QrHeadScores, "qrhead_scores"},
    {MaskKind::Minference, "minference"},
    {MaskKind::TransformerLens, "transformer_lens"},
    {MaskKind::Cofi, "cofi"},
    {MaskKind::Mergekit, "mergekit"},
    {MaskKind::LlamaCpp, "llama_cpp"},
    {MaskKind::BlockConfigs, "block_configs"},
    {MaskKind::TappaScores, "tappa_scores"},
    {MaskKind::TappaOrder, "tappa_order"},
}};

}  // namespace

std::vector<std::pair<int, int>> MaskDocument::pruned() const {
  std::vector<std::pair<int, int>> list;
  if (axis == MaskAxis::Layer) {
    return list;
  }
  const int perLayer = entries();
  for (std::size_t index = 0; index < keep.size(); ++index) {
    if (keep[index] == 0) {
      const int at = static_cast<int>(index);
      list.emplace_back(at / perLayer, at % perLayer);
    }
  }
  return list;
}

std::vector<int> MaskDocument::prunedLayers() const {
  std::vector<int> list;
  for (std::size_t layer = 0; axis == MaskAxis::Layer && layer < keep.size(); ++layer) {
    if (keep[layer] == 0) {
      list.push_back(static_cast<int>(layer));
    }
  }
  return list;
}

std::vector<std::string> MaskDocument::allWarnings() const {
  std::vector<std::string> list = warnings;
  list.insert(list.end(), misreadings.begin(), misreadings.end());
  const auto perLayer = static_cast<std::ptrdiff_t>(entries());
  for (int layer = 0; axis != MaskAxis::Layer && !keep.empty() && layer < shape.layers; ++layer) {
    const auto first = keep.begin() + layer * perLayer;
    if (std::find(first, first + perLayer, 1) == first + perLayer) {
      list.push_back(concat("layer ", layer, " loses every head"));
    }
  }
  return list;
}

const char* maskKindName(MaskKind kind) noexcept {
  for (const auto& [known, name] : kNames) {
    if (known == kind) {
      return name;
    }
  }
  return "";
}

std::optional<MaskKind> maskKindFromName(std::string_view name) noexcept {
  for (const auto& [kind, known] : kNames) {
    if (known == name) {
      return kind;
    }
  }
  return std::nullopt;
}

std::vector<MaskKind> allMaskKinds() {
  std::vector<MaskKind> kinds;
  for (const auto& entry : kNames) {
    kinds.push_back(entry.first);
  }
  return kinds;
}

const char* maskAxisName(MaskAxis axis) noexcept {
  return axis == MaskAxis::Query ? "query" : axis == MaskAxis::Kv ? "kv" : "layer";
}

const char* maskDirectionName(MaskDirection direction) noexcept {
  return direction == MaskDirection::Keep ? "keep" : direction == MaskDirection::Drop ? "drop" : "score";
}

MaskDocument maskDocument(const HeadMask& mask) {
  MaskDocument document;
  document.axis = mask.axis == HeadAxis::Query ? MaskAxis::Query : MaskAxis::Kv;
  document.shape.layers = mask.layers;
  document.shape.heads = mask.axis == HeadAxis::Query ? mask.heads : 0;
  document.shape.kvHeads = mask.axis == HeadAxis::Query ? mask.kvHeads : mask.heads;
  document.keep = mask.keep;
  return document;
}

HeadMask headMask(const MaskDocument& document) {
  if (document.axis == MaskAxis::Layer) {
    throw Error("", concat("a ", maskKindName(document.kind), " file is about whole layers, not heads"));
  }
  if (document.keep.empty()) {
    throw Error("", "scores become a mask only by a threshold, a sparsity or a count", ErrorKind::Usage);
  }
  HeadMask mask;
  mask.axis = document.axis == MaskAxis::Query ? HeadAxis::Query : HeadAxis::Kv;
  mask.layers = document.shape.layers;
  mask.heads = document.entries();
  mask.kvHeads = document.shape.kvHeads;
  mask.keep = document.keep;
  return mask;
}

}  // namespace headscope
