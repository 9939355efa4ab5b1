#pragma once

// From what one format says to what another can hold: scores become a mask, query heads become KV heads, an order
// becomes a list of layers. Nothing is guessed: what the file doesn't say, the caller must.

#include <optional>

#include "core/masks/mask_document.h"

namespace headscope {

/// How scores, or an order, become a mask. At most one is set.
struct MaskCut {
  std::optional<double> threshold;  ///< keep scores ≥ this
  std::optional<double> sparsity;   ///< keep scores ≥ quantile(sparsity), 0 … 1, linear between neighbours
  std::optional<int> count;         ///< drop this many: the lowest scores (ties by index), the first of the order
  bool any() const noexcept { return threshold || sparsity || count; }
};

struct MaskConversion {
  MaskCut cut;
  std::optional<GroupRule> rule;  ///< query heads to KV heads
};

/// Applies a cut: the result has `keep`. A head without a score stays, with a warning.
/// Throws Error: nothing to cut, or scores that are no order of removal (q-similarity).
MaskDocument cutMask(const MaskDocument& document, const MaskCut& cut);

/// KV → query repeats; query → KV uses `rule` (Error of kind Usage without one). Layers don't become heads.
MaskDocument maskToAxis(const MaskDocument& document, MaskAxis axis, std::optional<GroupRule> rule);

/// The document that `kind` can hold, made from `document`; to be written by writeMask. Throws Error: kind Usage where
/// an option is missing, kind Input where the content can't become that.
MaskDocument convertMask(const MaskDocument& document, MaskKind kind, const MaskConversion& conversion);

}  // namespace headscope
