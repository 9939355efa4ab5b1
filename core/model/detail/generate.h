#pragma once

// Continuing a text with a key-value cache. LibTorch header: internal to core/model.

#include <cstdint>
#include <span>
#include <vector>

#include "core/model/detail/engine.h"

namespace headscope {

/// The new ids. Every step equals a prefill of the text so far: where RoPE depends on the length, the cache is
/// filled again whenever the frequencies change.
std::vector<std::int64_t> generateIds(const Engine& engine, std::span<const std::int64_t> prompt,
                                      const GenerateOptions& options, const JobControl& control);

}  // namespace headscope
