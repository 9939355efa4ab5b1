#include "core/files/float_type.h"

namespace headscope {

namespace {

// Without branches, so that loops over it are vectorised. Subnormals are mantissa · 2^-24: put into the lowest bits of
// 0.5 (whose last bit is worth 2^-24) and freed from it again, exactly.
inline float fromHalf(std::uint16_t bits) noexcept {
  const std::uint32_t magnitude = bits & 0x7FFFu;
  const auto compared = static_cast<std::int32_t>(magnitude);  // SSE2 compares signed numbers only
  const std::uint32_t shifted = (magnitude << 13) + (112u << 23);
  const std::uint32_t normal = shifted + (compared >= 0x7C00 ? 112u << 23 : 0u);  // infinity and NaN
  const auto small = std::bit_cast<std::uint32_t>(std::bit_cast<float>(0x3F000000u + magnitude) - 0.5f);
  const std::uint32_t chooseSmall = 0u - static_cast<std::uint32_t>(compared < 0x0400);  // a mask: no branch for it
  return std::bit_cast<float>((small & chooseSmall) | (normal & ~chooseSmall) |
                              static_cast<std::uint32_t>(bits & 0x8000u) << 16);
}

template <typename Convert>
void convertEach(const std::byte* source, std::size_t count, float* target, Convert convert) noexcept {
  for (std::size_t i = 0; i < count; ++i) {
    std::uint16_t bits = 0;
    std::memcpy(&bits, source + 2 * i, sizeof bits);
    target[i] = convert(bits);
  }
}

}  // namespace

float f16ToFloat(std::uint16_t bits) noexcept {
  return fromHalf(bits);
}

void toFloats(const std::byte* source, FloatType type, std::size_t count, float* target) noexcept {
  switch (type) {
    case FloatType::F32:
      if (count > 0) {  // no memcpy from or to nothing
        std::memcpy(target, source, count * sizeof(float));
      }
      break;
    case FloatType::BF16:
      convertEach(source, count, target, [](std::uint16_t bits) { return bf16ToFloat(bits); });
      break;
    case FloatType::F16:
      convertEach(source, count, target, [](std::uint16_t bits) { return fromHalf(bits); });
      break;
  }
}

}  // namespace headscope
