#pragma once

// One layer for one block of tokens: the unit from which prefill and decoding are built. LibTorch header: internal
// to core/model.

#include <cstdint>
#include <optional>
#include <vector>

#include <ATen/core/Tensor.h>

#include "core/capture/capture.h"
#include "core/model/detail/attention.h"
#include "core/model/detail/block.h"
#include "core/model/detail/capture_transfer.h"
#include "core/model/detail/engine.h"

namespace headscope {

inline at::Tensor placed(const at::Tensor& x, const Place& place) {
  return x.to(place.device, place.type);
}

/// Keys and values of one layer as the dot product reads them, [G, capacity, D].
struct KeyValues {
  at::Tensor k, v;
  at::Tensor kBeforeRope;  ///< only where another layer borrows these keys and the capture needs them again
};

/// Where the captured rows of one layer go: straight there, or by way of `transfer` from a GPU.
class CaptureRows {
 public:
  CaptureRows(const CaptureBuilder::Target& target, FloatType type, const CaptureBuilder::LayerShape& shape,
              std::int64_t tokens, CaptureTransfer* transfer);

  /// Queries and keys stay on `gpu`, too, in deviceRows(). Throws c10::OutOfMemoryError.
  void keepOn(const at::Device& gpu);
  std::optional<DeviceRows> deviceRows() const;

  void queries(std::int64_t first, const at::Tensor& q);      ///< [rows, H, D]
  void keys(std::int64_t first, const at::Tensor& k);         ///< [rows, G, D]
  void values(std::int64_t first, const at::Tensor& v);       ///< [rows, G, D]
  void logSumExp(std::int64_t first, const at::Tensor& lse);  ///< [H, rows]

 private:
  /// `rows` [heads, rows, …] to rows first … of `target`.
  void put(const at::Tensor& target, std::int64_t first, const at::Tensor& rows);
  void putBoth(const at::Tensor& target, const at::Tensor& kept, std::int64_t first, const at::Tensor& rows);

  CaptureTransfer* transfer_;
  at::Tensor q_, k_, v_, lse_;  ///< over the target's memory, [heads, tokens, D]; undefined where there is none
  at::Tensor keptQ_, keptK_;    ///< the same on a GPU; undefined unless asked for
};

/// Rotary tables of a run: for a text of `tokens` tokens, or up to `tokens` while decoding.
class RotaryTables {
 public:
  RotaryTables(const plan::Decoder& decoder, const std::vector<Rope>& ropes, std::int64_t tokens);
  /// Rows first … first + count − 1; nothing in a layer without RoPE.
  std::optional<RotaryTable> rows(const plan::Attention& attention, std::int64_t first, std::int64_t count,
                                  const at::Device& device);

 private:
  std::vector<std::vector<RotaryTable>> tables_;  ///< of each RoPE: one a device, the CPU's first
};

class LayerStep {
 public:
  LayerStep(const Engine& engine, RotaryTables& tables, std::int64_t capacity,
            AttentionPath path = AttentionPath::Auto);

  /// `x` [rows, E] are tokens first … first + rows − 1 as this layer reads them; those before have been here.
  /// `perLayer` [rows, P] or undefined. Returns the layer's output; `x` may be overwritten with it.
  at::Tensor run(int layer, std::int64_t first, const at::Tensor& x, const at::Tensor& perLayer, CaptureRows* capture);

  /// Keys and values of `layer` are not needed any more, unless a later layer reads them.
  void release(int layer);

 private:
  KeyValues& cacheOf(int layer, const Projections& own);
  bool borrowed(int layer) const;

  const Engine& engine_;
  RotaryTables& tables_;
  std::int64_t capacity_;
  AttentionPath path_;
  std::vector<KeyValues> cache_;  ///< [layers]
};

}  // namespace headscope
