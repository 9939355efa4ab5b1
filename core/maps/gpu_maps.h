#pragma once

// Maps on an NVIDIA GPU: the same pooling as on the processor, by a CUDA program that NVRTC compiles when it is first
// needed (core/maps/gpu_source.h). An optional path: where something is missing, open() says what, and everything is
// computed as before.

#include <cstdint>
#include <memory>
#include <string>

#include "core/maps/head_view.h"
#include "core/maps/pooling.h"
#include "core/maps/tiles.h"

namespace headscope {

/// How float32 queries and keys go into the GPU's bf16 products.
enum class GpuPrecision {
  Bf16 = 1,   ///< rounded: as a model that runs in bf16; probabilities to some percent
  Split = 2,  ///< two numbers each, three products: logits to 2^-16 of their terms
  Full = 3,   ///< three numbers each, six products: as float32
};

class GpuMaps {
 public:
  /// The finest level that the GPU computes; below it a tile costs less than the way there.
  static constexpr int kFinestLevel = 3;

  /// Null where it can't be used; `reason` then says why.
  static std::shared_ptr<GpuMaps> open(int device, std::string& reason);
  ~GpuMaps();

  const std::string& name() const noexcept;

  /// One head's queries, keys and normalizers on the device.
  class Head {
   public:
    ~Head();

   private:
    friend class GpuMaps;
    struct Data;
    explicit Head(std::unique_ptr<Data> data);
    std::unique_ptr<Data> data_;
  };

  /// Throws Error (kind Memory: the device is full; kind Unsupported: a head dim too large for this device). A head
  /// whose log-sum-exp isn't known (NaN) gets it computed, on the device, and written to `head`.
  std::shared_ptr<const Head> upload(HeadView& head, GpuPrecision precision);
  std::shared_ptr<const Head> upload(const HeadView& head, GpuPrecision precision);  ///< log-sum-exp known

  /// Cells of 2^level × 2^level pairs, level ≥ kFinestLevel; range.rowBegin and colBegin are multiples of 2^level.
  /// Sums are added in any order: two runs may differ in the last digits.
  CellValues poolSquares(const Head& head, const MapRange& range, int level) const;

  /// Seconds of one such pass on the device alone, the mean of `rounds`: for benchmarks.
  double poolSeconds(const Head& head, const MapRange& range, int level, int rounds) const;

  std::shared_ptr<const Tile> computeTile(const Head& head, const TileKey& key) const;

 private:
  struct State;
  struct Pass;
  explicit GpuMaps(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace headscope
