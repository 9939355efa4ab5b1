#pragma once

// ggml's block formats as float32, bit for bit as ggml's own C code decodes them.

#include <cstddef>
#include <cstdint>
#include <string>

#include "core/files/gguf.h"

namespace headscope {

/// True for F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q2_K … Q6_K, IQ4_NL, IQ4_XS and MXFP4.
bool canDequantize(GgufType type) noexcept;

/// Throws Error (Unsupported) naming the file, the tensor, its type and the reason if it can't be decoded.
void requireDequantizable(const GgufTensor& tensor, const std::string& where);

/// Decodes `elements` numbers, a multiple of the type's block, from `source` (any alignment). The type must be one
/// that canDequantize() names. May be called from several threads.
void dequantize(GgufType type, const std::byte* source, std::int64_t elements, float* target) noexcept;

/// Rows [first, first + count) of a tensor (its last axis is a row) into `target` [count, rowElements].
void dequantizeRows(const GgufTensor& tensor, std::int64_t first, std::int64_t count, float* target) noexcept;

}  // namespace headscope
