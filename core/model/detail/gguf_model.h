#pragma once

// GGUF files as models: the metadata is told to the same family functions as config.json's keys; then what llama.cpp's
// converter stores differently is put right (names, row orders, norms that already hold the 1 of 1 + w).
// ../shared/reference/models.md 2.4 and 5.2–5.4.

#include <filesystem>

#include "core/model/detail/model_files.h"

namespace headscope {

/// Throws Error naming the file: malformed, or (Unsupported) an architecture that is not covered.
ModelFiles openGguf(const std::filesystem::path& path);

}  // namespace headscope
