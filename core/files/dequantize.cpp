#include "core/files/dequantize.h"

#include <array>
#include <bit>
#include <cstring>

#include "core/base/error.h"
#include "core/files/float_type.h"

// One function per block format. The layouts are those of ggml's ggml-common.h; the order of the multiplications is
// ggml's too, since another order rounds differently.

namespace headscope {
namespace {

using Byte = std::uint8_t;
using Decode = void (*)(const Byte* block, float* out);

constexpr int kSmall = 32;   ///< elements of a small block
constexpr int kSuper = 256;  ///< elements of a K block

float half(const Byte* at) noexcept {
  std::uint16_t bits = 0;
  std::memcpy(&bits, at, sizeof bits);
  return f16ToFloat(bits);
}

std::uint32_t word(const Byte* at) noexcept {
  std::uint32_t bits = 0;
  std::memcpy(&bits, at, sizeof bits);
  return bits;
}

constexpr std::array<std::int8_t, 16> kNonLinear{-127, -104, -83, -65, -49, -35, -22, -10,
                                                 1,    13,   25,  38,  53,  69,  89,  113};
/// Twice the values of a 4-bit float (E2M1).
constexpr std::array<std::int8_t, 16> kFloat4{0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

void decodeQ4_0(const Byte* block, float* out) {
  const float d = half(block);
  for (int j = 0; j < kSmall / 2; ++j) {
    const Byte q = block[2 + j];
    out[j] = static_cast<float>((q & 15) - 8) * d;
    out[j + kSmall / 2] = static_cast<float>((q >> 4) - 8) * d;
  }
}

void decodeQ4_1(const Byte* block, float* out) {
  const float d = half(block);
  const float m = half(block + 2);
  for (int j = 0; j < kSmall / 2; ++j) {
    const Byte q = block[4 + j];
    out[j] = static_cast<float>(q & 15) * d + m;
    out[j + kSmall / 2] = static_cast<float>(q >> 4) * d + m;
  }
}

void decodeQ5_0(const Byte* block, float* out) {
  const float d = half(block);
  const std::uint32_t high = word(block + 2);
  for (int j = 0; j < kSmall / 2; ++j) {
    const Byte q = block[6 + j];
    const auto low = static_cast<int>((q & 15u) | ((high >> j) & 1u) << 4);
    const auto up = static_cast<int>((q >> 4) | ((high >> (j + 16)) & 1u) << 4);
    out[j] = static_cast<float>(low - 16) * d;
    out[j + kSmall / 2] = static_cast<float>(up - 16) * d;
  }
}

void decodeQ5_1(const Byte* block, float* out) {
  const float d = half(block);
  const float m = half(block + 2);
  const std::uint32_t high = word(block + 4);
  for (int j = 0; j < kSmall / 2; ++j) {
    const Byte q = block[8 + j];
    const auto low = static_cast<int>((q & 15u) | ((high >> j) & 1u) << 4);
    const auto up = static_cast<int>((q >> 4) | ((high >> (j + 16)) & 1u) << 4);
    out[j] = static_cast<float>(low) * d + m;
    out[j + kSmall / 2] = static_cast<float>(up) * d + m;
  }
}

void decodeQ8_0(const Byte* block, float* out) {
  const float d = half(block);
  for (int j = 0; j < kSmall; ++j) {
    out[j] = static_cast<float>(static_cast<std::int8_t>(block[2 + j])) * d;
  }
}

void decodeIQ4_NL(const Byte* block, float* out) {
  const float d = half(block);
  for (int j = 0; j < kSmall / 2; ++j) {
    const Byte q = block[2 + j];
    out[j] = d * static_cast<float>(kNonLinear[q & 15]);
    out[j + kSmall / 2] = d * static_cast<float>(kNonLinear[q >> 4]);
  }
}

// The scale is 2^(e − 128), half of the E8M0 scale, since the table holds doubled values.
void decodeMXFP4(const Byte* block, float* out) {
  const std::uint32_t e = block[0];
  const float d = std::bit_cast<float>(e < 2 ? 0x00200000u << e : (e - 1) << 23);
  for (int j = 0; j < kSmall / 2; ++j) {
    const Byte q = block[1 + j];
    out[j] = static_cast<float>(kFloat4[q & 15]) * d;
    out[j + kSmall / 2] = static_cast<float>(kFloat4[q >> 4]) * d;
  }
}

// 16 scales of 4 + 4 bits (factor, minimum), one for 16 elements.
void decodeQ2_K(const Byte* block, float* out) {
  const Byte* scales = block;
  const Byte* quants = block + 16;
  const float d = half(block + 80);
  const float dmin = half(block + 82);
  for (int group = 0; group < kSuper / 16; ++group) {
    const float factor = d * static_cast<float>(scales[group] & 15);
    const float minimum = dmin * static_cast<float>(scales[group] >> 4);
    const Byte* q = quants + 32 * (group / 8) + 16 * (group % 2);
    const int shift = group % 8 / 2 * 2;
    for (int i = 0; i < 16; ++i) {
      out[16 * group + i] = factor * static_cast<float>((q[i] >> shift) & 3) - minimum;
    }
  }
}

// 16 scales of 6 bits, low 4 bits and high 2 bits apart; a third bit of each element in a mask.
void decodeQ3_K(const Byte* block, float* out) {
  const Byte* mask = block;
  const Byte* quants = block + 32;
  const Byte* scales = block + 96;
  const float d = half(block + 108);
  for (int group = 0; group < kSuper / 16; ++group) {
    const int low = group < 8 ? scales[group] & 15 : scales[group - 8] >> 4;
    const int high = (scales[8 + group % 4] >> (2 * (group / 4))) & 3;
    const float factor = d * static_cast<float>((low | high << 4) - 32);
    const Byte* q = quants + 32 * (group / 8) + 16 * (group % 2);
    const Byte* m = mask + 16 * (group % 2);
    const int shift = group % 8 / 2 * 2;
    const int bit = group / 2;
    for (int i = 0; i < 16; ++i) {
      const int value = ((q[i] >> shift) & 3) - 4 + 4 * ((m[i] >> bit) & 1);
      out[16 * group + i] = factor * static_cast<float>(value);
    }
  }
}

struct ScaleAndMinimum {
  int scale;
  int minimum;
};

// Eight pairs of 6 bits in 12 bytes (Q4_K, Q5_K).
ScaleAndMinimum scaleOf(const Byte* s, int j) noexcept {
  if (j < 4) {
    return {s[j] & 63, s[j + 4] & 63};
  }
  return {(s[j + 4] & 15) | (s[j - 4] >> 6) << 4, (s[j + 4] >> 4) | (s[j] >> 6) << 4};
}

void decodeQ4_K(const Byte* block, float* out) {
  const float d = half(block);
  const float dmin = half(block + 2);
  for (int j = 0; j < kSuper / 32; ++j) {
    const ScaleAndMinimum s = scaleOf(block + 4, j);
    const float factor = d * static_cast<float>(s.scale);
    const float minimum = dmin * static_cast<float>(s.minimum);
    const Byte* q = block + 16 + 32 * (j / 2);
    const int shift = j % 2 * 4;
    for (int i = 0; i < 32; ++i) {
      out[32 * j + i] = factor * static_cast<float>((q[i] >> shift) & 15) - minimum;
    }
  }
}

void decodeQ5_K(const Byte* block, float* out) {
  const float d = half(block);
  const float dmin = half(block + 2);
  const Byte* high = block + 16;
  for (int j = 0; j < kSuper / 32; ++j) {
    const ScaleAndMinimum s = scaleOf(block + 4, j);
    const float factor = d * static_cast<float>(s.scale);
    const float minimum = dmin * static_cast<float>(s.minimum);
    const Byte* q = block + 48 + 32 * (j / 2);
    const int shift = j % 2 * 4;
    for (int i = 0; i < 32; ++i) {
      const int value = ((q[i] >> shift) & 15) + 16 * ((high[i] >> j) & 1);
      out[32 * j + i] = factor * static_cast<float>(value) - minimum;
    }
  }
}

void decodeQ6_K(const Byte* block, float* out) {
  const float d = half(block + 208);
  for (int group = 0; group < kSuper / 32; ++group) {
    const int part = group / 4;
    const Byte* low = block + 64 * part + 32 * (group % 2);
    const Byte* high = block + 128 + 32 * part;
    const int lowShift = group % 4 / 2 * 4;
    const int highShift = group % 4 * 2;
    for (int half16 = 0; half16 < 2; ++half16) {
      const float factor = d * static_cast<float>(static_cast<std::int8_t>(block[192 + 2 * group + half16]));
      for (int i = 16 * half16; i < 16 * half16 + 16; ++i) {
        const int value = (((low[i] >> lowShift) & 15) | ((high[i] >> highShift) & 3) << 4) - 32;
        out[32 * group + i] = factor * static_cast<float>(value);
      }
    }
  }
}

void decodeIQ4_XS(const Byte* block, float* out) {
  const float d = half(block);
  const unsigned highBits = block[2] | static_cast<unsigned>(block[3]) << 8;
  for (int b = 0; b < kSuper / 32; ++b) {
    const int low = (block[4 + b / 2] >> (4 * (b % 2))) & 15;
    const int scale = low | static_cast<int>((highBits >> (2 * b)) & 3u) << 4;
    const float factor = d * static_cast<float>(scale - 32);
    const Byte* q = block + 8 + 16 * b;
    for (int j = 0; j < 16; ++j) {
      out[32 * b + j] = factor * static_cast<float>(kNonLinear[q[j] & 15]);
      out[32 * b + j + 16] = factor * static_cast<float>(kNonLinear[q[j] >> 4]);
    }
  }
}

Decode decoder(GgufType type) noexcept {
  switch (type) {
    case GgufType::Q4_0:
      return decodeQ4_0;
    case GgufType::Q4_1:
      return decodeQ4_1;
    case GgufType::Q5_0:
      return decodeQ5_0;
    case GgufType::Q5_1:
      return decodeQ5_1;
    case GgufType::Q8_0:
      return decodeQ8_0;
    case GgufType::Q2_K:
      return decodeQ2_K;
    case GgufType::Q3_K:
      return decodeQ3_K;
    case GgufType::Q4_K:
      return decodeQ4_K;
    case GgufType::Q5_K:
      return decodeQ5_K;
    case GgufType::Q6_K:
      return decodeQ6_K;
    case GgufType::IQ4_NL:
      return decodeIQ4_NL;
    case GgufType::IQ4_XS:
      return decodeIQ4_XS;
    case GgufType::MXFP4:
      return decodeMXFP4;
    default:
      return nullptr;
  }
}

FloatType plainType(GgufType type) noexcept {
  return type == GgufType::F32 ? FloatType::F32 : type == GgufType::BF16 ? FloatType::BF16 : FloatType::F16;
}

bool isPlain(GgufType type) noexcept {
  return type == GgufType::F32 || type == GgufType::F16 || type == GgufType::BF16;
}

const char* reasonAgainst(GgufType type) noexcept {
  switch (type) {
    case GgufType::I8:
    case GgufType::I16:
    case GgufType::I32:
    case GgufType::I64:
    case GgufType::F64:
      return "which no weight should have";
    case GgufType::Q8_1:
    case GgufType::Q8_K:
      return "which is for intermediate results, not for weights";
    case GgufType::IQ2_XXS:
    case GgufType::IQ2_XS:
    case GgufType::IQ3_XXS:
    case GgufType::IQ1_S:
    case GgufType::IQ3_S:
    case GgufType::IQ2_S:
    case GgufType::IQ1_M:
      return "which needs large lookup grids and is not decoded here; use a K quant, Q8_0 or F16 of the same model";
    default:
      return "which is not decoded here; use a K quant, Q8_0 or F16 of the same model";
  }
}

}  // namespace

bool canDequantize(GgufType type) noexcept {
  return isPlain(type) || decoder(type) != nullptr;
}

void requireDequantizable(const GgufTensor& tensor, const std::string& where) {
  if (!canDequantize(tensor.type)) {
    throw Error(where,
                concat("tensor \"", tensor.name, "\" is of type ", ggufTypeInfo(tensor.type).name, ", ",
                       reasonAgainst(tensor.type)),
                ErrorKind::Unsupported);
  }
}

void dequantize(GgufType type, const std::byte* source, std::int64_t elements, float* target) noexcept {
  if (isPlain(type)) {
    toFloats(source, plainType(type), static_cast<std::size_t>(elements), target);
    return;
  }
  const GgufTypeInfo& info = ggufTypeInfo(type);
  const Decode decode = decoder(type);
  const auto* block = reinterpret_cast<const Byte*>(source);
  for (std::int64_t done = 0; done < elements; done += info.blockElements) {
    decode(block, target + done);
    block += info.blockBytes;
  }
}

void dequantizeRows(const GgufTensor& tensor, std::int64_t first, std::int64_t count, float* target) noexcept {
  const GgufTypeInfo& info = ggufTypeInfo(tensor.type);
  const std::int64_t rowBytes = tensor.rowElements() / info.blockElements * info.blockBytes;
  dequantize(tensor.type, tensor.bytes.data() + first * rowBytes, count * tensor.rowElements(), target);
}

}  // namespace headscope
