#pragma once

// What a mask file says, whatever its format: heads (or layers) that stay, scores, or an order of removal, always with
// the axis and the direction that the file means. Reading and writing is in mask_file.h.

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/masks/head_mask.h"

namespace headscope {

/// The formats of ../shared/reference/peers.md, section 5, and two of our own (Headscope, Safetensors).
enum class MaskKind {
  Headscope,
  PrunedHeads,
  Bertology,
  Safetensors,
  DuoAttention,
  Prulong,
  RetrievalHead,
  QrHead,
  QrHeadScores,
  Minference,
  TransformerLens,
  Cofi,
  Mergekit,
  LlamaCpp,
  BlockConfigs,
  TappaScores,
  TappaOrder,
};

enum class MaskAxis { Query, Kv, Layer };

/// What an entry of the file means: it stays, it goes, or it has a score.
enum class MaskDirection { Keep, Drop, Score };

/// 0 = unknown.
struct MaskShape {
  int layers = 0;
  int heads = 0;    ///< query heads per layer
  int kvHeads = 0;  ///< KV heads per layer
  bool operator==(const MaskShape&) const = default;
};

/// A remark on one head, with the scores that led to it.
struct MaskRemark {
  int layer = 0, head = 0;
  std::string note;
  std::vector<std::pair<std::string, double>> scores;
  bool operator==(const MaskRemark&) const = default;
};

/// One named list of a layer file ("bi", "q_similarity", "tappa_score" …), a number per layer.
struct LayerSeries {
  std::string name;
  std::vector<double> values;
  bool operator==(const LayerSeries&) const = default;
};

struct MaskDocument {
  MaskKind kind = MaskKind::Headscope;
  MaskAxis axis = MaskAxis::Query;
  MaskDirection direction = MaskDirection::Drop;
  MaskShape shape;
  /// [layers · entries()], 1 = keep; empty where the file has only scores or an order.
  std::vector<std::uint8_t> keep;
  /// [layers · entries()], NaN = this head has no score; empty where the file has none.
  std::vector<double> scores;
  std::string scoreName;             ///< "BI", "q_similarity", "tappa_score"; may be empty
  std::vector<int> order;            ///< layers, first removed first; empty if the file has none
  std::vector<int> kvHeadsPerLayer;  ///< block_configs: [layers], 0 = no attention
  std::string model, family;         ///< may be empty
  std::string method, formula;       ///< layer orders; may be empty
  std::optional<double> beta;        ///< TAPPA orders
  std::string biFile, qFile;         ///< TAPPA orders: where the scores came from; may be empty
  std::vector<LayerSeries> series;   ///< layer orders
  std::vector<MaskRemark> remarks;
  /// What the format's own readers would take differently than this program does; writing the file anew repairs it.
  std::vector<std::string> misreadings;
  std::vector<std::string> warnings;  ///< what its user should know, one line each

  /// Entries per layer on this axis: heads, KV heads, or 1.
  int entries() const noexcept {
    return axis == MaskAxis::Query ? shape.heads : axis == MaskAxis::Kv ? shape.kvHeads : 1;
  }
  std::vector<std::pair<int, int>> pruned() const;  ///< (layer, head) on the stated axis; empty on the layer axis
  /// `warnings`, `misreadings`, and each layer that loses every head.
  std::vector<std::string> allWarnings() const;
  std::vector<int> prunedLayers() const;  ///< ascending; empty on the head axes
};

const char* maskKindName(MaskKind kind) noexcept;  ///< "pruned_heads"
std::optional<MaskKind> maskKindFromName(std::string_view name) noexcept;
std::vector<MaskKind> allMaskKinds();
const char* maskAxisName(MaskAxis axis) noexcept;                 ///< "query", "kv", "layer"
const char* maskDirectionName(MaskDirection direction) noexcept;  ///< "keep", "drop", "score"

/// A mask of heads as a document, and back. The latter throws Error (kind Usage) if `document` has only scores, and
/// (kind Input) if it speaks of layers.
MaskDocument maskDocument(const HeadMask& mask);
HeadMask headMask(const MaskDocument& document);

}  // namespace headscope
