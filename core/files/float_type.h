#pragma once

// Floating-point types as they lie in files, and how to read them as float32.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace headscope {

enum class FloatType { F32, BF16, F16 };

constexpr std::size_t floatBytes(FloatType type) noexcept {
  return type == FloatType::F32 ? 4 : 2;
}

constexpr const char* floatName(FloatType type) noexcept {
  return type == FloatType::F32 ? "f32" : type == FloatType::BF16 ? "bf16" : "f16";
}

inline float bf16ToFloat(std::uint16_t bits) noexcept {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

/// Rounds to nearest, ties to even; NaN stays NaN.
inline std::uint16_t floatToBf16(float value) noexcept {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7FFFFFFFu) > 0x7F800000u) {
    return static_cast<std::uint16_t>((bits >> 16) | 0x40u);
  }
  return static_cast<std::uint16_t>((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16);
}

float f16ToFloat(std::uint16_t bits) noexcept;  ///< IEEE 754 binary16, subnormals included

/// Converts `count` numbers; `source` may be unaligned.
void toFloats(const std::byte* source, FloatType type, std::size_t count, float* target) noexcept;

}  // namespace headscope
