#pragma once

// A model that is loaded: plan, weights, and where they are. LibTorch header: internal to core/model.

#include <cstdint>
#include <string>
#include <vector>

#include <ATen/core/Tensor.h>

#include "core/model/detail/model_files.h"
#include "core/model/detail/weights.h"
#include "core/model/model.h"

namespace headscope {

struct Engine {
  ModelFiles files;
  Weights weights{0};
  at::ScalarType type = at::kFloat;
  std::vector<at::Device> layerDevice;  ///< [layers]
  at::Device embeddingDevice{at::kCPU};
  at::Device headDevice{at::kCPU};
  int threads = 1;
  std::int64_t layerParameters = 0;  ///< mean over the layers

  const plan::Decoder& decoder() const noexcept { return files.decoder; }
};

Engine loadEngine(const std::filesystem::path& path, const ModelOptions& options, const JobControl& control);

std::string arithmeticName(at::ScalarType type);

/// Sets the calling thread up for LibTorch work on `rows` tokens at a time: clean vector registers, and as many
/// threads as the work of one layer is worth.
void enterEngine(const Engine& engine, std::int64_t rows);

}  // namespace headscope
