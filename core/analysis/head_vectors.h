#pragma once

// One head as the analysis sees it: q and k in double, before RoPE as captured and as they enter the dot product,
// with angles position · inv_freq in double. Keys are shared by the query heads of a KV head.
//   a(t, i) = scale · dotQ_t · dotK_i            (before any softcap and window)
//   p(t, i) = exp(softcap(a) − lse_t), with a sink: exp(softcap(a)) / (exp(lse_t) + exp(sink))

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "core/analysis/packed_rows.h"
#include "core/analysis/rotation_table.h"
#include "core/base/job_control.h"
#include "core/capture/capture.h"
#include "core/rope/interventions.h"

namespace headscope {

/// How a layer works, the same for all of its heads.
struct LayerFrame {
  int layer = 0;
  std::int64_t tokens = 0;
  AttentionSpec spec;
  std::optional<Rope> rope;                       ///< under the interventions; none: this layer doesn't rotate
  std::shared_ptr<const RotationTable> rotation;  ///< null without rope
  std::vector<std::int64_t> positions;            ///< [tokens]
  Interventions interventions;
};

/// `shared`, if not null, is used where it fits (layers mostly have the same RoPE) and replaced where it doesn't.
LayerFrame makeLayerFrame(const Capture& capture, int layer, const Interventions& interventions = {},
                          std::shared_ptr<const RotationTable>* shared = nullptr);

/// Figures of the keys alone, so that the query heads that share them don't each compute them.
struct KeyStatistics {
  double consecutiveCosine = 0;        ///< mean over t of cos(k_t, k_{t+1}) before RoPE; NaN with one token
  std::vector<double> channelLengths;  ///< [channels] mean over t of |k_t^m|, before RoPE
};

struct KeyVectors {
  std::vector<double> k;     ///< [tokens, dim] before RoPE, under the interventions
  std::vector<double> dotK;  ///< [tokens, dim] after RoPE and any step after it
  PackedRows packed;         ///< dotK once more, as the product kernel reads it
  KeyStatistics statistics;  ///< what every query head of the group needs
};
std::shared_ptr<const KeyVectors> makeKeyVectors(const Capture& capture, const LayerFrame& frame, int kvHead);

struct HeadVectors {
  std::shared_ptr<const LayerFrame> frame;
  int head = 0, kvHead = 0;
  int dim = 0;
  std::vector<double> q;     ///< [tokens, dim] before RoPE, under the interventions
  std::vector<double> dotQ;  ///< [tokens, dim] after RoPE and any step after it; without the scale
  std::shared_ptr<const KeyVectors> keys;
  std::vector<double> lse;  ///< [tokens] as captured; empty: to be computed (also under interventions)
  std::optional<double> sink;

  std::int64_t tokens() const noexcept { return frame->tokens; }
  int channels() const noexcept { return frame->rope ? frame->rope->channels() : 0; }
  std::span<const double> qRow(std::int64_t t) const noexcept { return row(q, t); }
  std::span<const double> kRow(std::int64_t i) const noexcept { return row(keys->k, i); }
  std::span<const double> dotQRow(std::int64_t t) const noexcept { return row(dotQ, t); }
  std::span<const double> dotKRow(std::int64_t i) const noexcept { return row(keys->dotK, i); }
  /// First key that row t sees; the last is t.
  std::int64_t firstKey(std::int64_t t) const noexcept {
    const auto& window = frame->spec.window;
    return window && t >= *window ? t - *window + 1 : 0;
  }

 private:
  std::span<const double> row(const std::vector<double>& data, std::int64_t index) const noexcept {
    return {data.data() + index * dim, static_cast<std::size_t>(dim)};
  }
};

/// `keys` as makeKeyVectors gave them for this head's KV head. Throws Error if `head` doesn't exist. The memory of
/// `spare` is used again: for many heads one after another.
HeadVectors makeHeadVectors(const Capture& capture, std::shared_ptr<const LayerFrame> frame, int head,
                            std::shared_ptr<const KeyVectors> keys, HeadVectors spare = {});

/// A head that is in no capture: q and k [tokens, dim] before RoPE; positions empty = 0 … tokens−1.
HeadVectors makeHeadVectors(std::vector<double> q, std::vector<double> k, int dim, AttentionSpec spec,
                            std::optional<Rope> rope, std::vector<std::int64_t> positions = {});

/// All three steps, for one head.
HeadVectors makeHeadVectors(const Capture& capture, int layer, int head, const Interventions& interventions = {});

}  // namespace headscope
