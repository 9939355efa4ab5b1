#pragma once

// Tensors as they lie in a file: a name, a type, a shape, and the bytes in row-major (C) order.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/files/float_type.h"

namespace headscope {

/// The types of the safetensors format, under its names.
enum class TensorType {
  Bool,
  U8,
  I8,
  F8_E4M3,
  F8_E5M2,
  F8_E8M0,
  F8_E4M3FNUZ,
  F8_E5M2FNUZ,
  I16,
  U16,
  F16,
  BF16,
  I32,
  U32,
  F32,
  I64,
  U64,
  F64,
  C64,
  F4,
  F6_E2M3,
  F6_E3M2,
};

const char* typeName(TensorType type) noexcept;  ///< as files spell it: "BF16"
int typeBits(TensorType type) noexcept;          ///< bits of one element
std::optional<TensorType> typeFromName(std::string_view name) noexcept;

/// F32, BF16 and F16 as FloatType; nothing for the other types.
std::optional<FloatType> floatType(TensorType type) noexcept;
TensorType tensorType(FloatType type) noexcept;

/// Bytes of a tensor. Nothing if a dimension is negative, a size overflows 63 bits (dimensions of 0 don't hide
/// that: strides are computed from the others), or the tensor doesn't end at a whole byte.
std::optional<std::uint64_t> tensorBytes(TensorType type, std::span<const std::int64_t> shape) noexcept;

/// "[4, 24, 32]"; "[]" for a scalar.
std::string shapeText(std::span<const std::int64_t> shape);

/// A tensor in memory that something else owns. `bytes` may start at any address: copy, or check the alignment,
/// before reading wider types.
struct TensorView {
  std::string name;
  TensorType type = TensorType::F32;
  std::vector<std::int64_t> shape;  ///< slowest axis first
  std::span<const std::byte> bytes;

  std::int64_t elements() const noexcept;
};

}  // namespace headscope
