#pragma once

// A model that is loaded: plan, weights, and where they are. LibTorch header: internal to core/model.

#include <cstdint>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "core/model/detail/model_files.h"
#include "core/model/detail/placement.h"
#include "core/model/detail/weights.h"
#include "core/model/model.h"

namespace headscope {

struct Engine {
  ModelFiles files;
  Placement placement;
  Weights weights{0};
  int threads = 1;
  std::int64_t layerParameters = 0;  ///< mean over the layers

  const plan::Decoder& decoder() const noexcept { return files.decoder; }
  int layers() const noexcept { return static_cast<int>(files.decoder.layers.size()); }
  const Place& place(int layer) const { return placement.of(layer); }
  at::ScalarType type() const { return placement.layers.front().type; }
  bool usesGpu() const;
};

Engine loadEngine(const std::filesystem::path& path, const ModelOptions& options, const JobControl& control);

std::string arithmeticName(at::ScalarType type);

/// Sets the calling thread up for LibTorch work on `rows` tokens at a time: clean vector registers, and as many
/// threads as the work of one layer is worth.
void enterEngine(const Engine& engine, std::int64_t rows);

/// True if `bytes` are free on every GPU in use, after giving back what the allocator keeps for later.
bool gpuHasRoom(const Engine& engine, std::uint64_t bytes);

/// Waits until the GPUs have done what was asked of them.
void synchronize(const Engine& engine);

}  // namespace headscope
