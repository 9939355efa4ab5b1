#pragma once

// What a mask needs to know of its model.

#include <filesystem>
#include <optional>

#include "core/masks/mask_document.h"

namespace headscope::cli {

/// Layers, heads and KV heads of a model or a capture; no weights are read.
MaskShape shapeOfModel(const std::filesystem::path& path);

/// DeciLM's `ffn_mult` for a model folder whose config.json has the sizes: intermediate size = 2/3 · ffn_mult · hidden.
std::optional<double> ffnMultOfModel(const std::filesystem::path& path);

}  // namespace headscope::cli
