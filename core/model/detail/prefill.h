#pragma once

// The prefill of a text: layer after layer, block after block. LibTorch header: internal to core/model.

#include <cstdint>
#include <span>
#include <string>

#include "core/model/detail/engine.h"

namespace headscope {

/// Throws Error for ids outside the vocabulary or an empty text.
void checkIds(const plan::Decoder& decoder, std::span<const std::int64_t> ids);

/// What to tell a user whose run arrives at NaN or infinity.
std::string notFinite(at::ScalarType type);

/// Bytes that a prefill needs on the GPU that holds most, with the smallest blocks; 0 without a GPU.
std::uint64_t gpuBytesNeeded(const Engine& engine, std::int64_t tokens);

/// At any time one layer's k and v, the hidden state [tokens, E] and one block's intermediate results are in memory.
RunResult prefill(const Engine& engine, std::span<const std::int64_t> ids, const RunOptions& options,
                  const JobControl& control);

}  // namespace headscope
