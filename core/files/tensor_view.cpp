#include "core/files/tensor_view.h"

#include <array>
#include <limits>

namespace headscope {
namespace {

struct TypeRow {
  TensorType type;
  const char* name;
  int bits;
};

constexpr std::array<TypeRow, 22> kTypes{{
    {TensorType::Bool, "BOOL", 8},
    {TensorType::U8, "U8", 8},
    {TensorType::I8, "I8", 8},
    {TensorType::F8_E4M3, "F8_E4M3", 8},
    {TensorType::F8_E5M2, "F8_E5M2", 8},
    {TensorType::F8_E8M0, "F8_E8M0", 8},
    {TensorType::F8_E4M3FNUZ, "F8_E4M3FNUZ", 8},
    {TensorType::F8_E5M2FNUZ, "F8_E5M2FNUZ", 8},
    {TensorType::I16, "I16", 16},
    {TensorType::U16, "U16", 16},
    {TensorType::F16, "F16", 16},
    {TensorType::BF16, "BF16", 16},
    {TensorType::I32, "I32", 32},
    {TensorType::U32, "U32", 32},
    {TensorType::F32, "F32", 32},
    {TensorType::I64, "I64", 64},
    {TensorType::U64, "U64", 64},
    {TensorType::F64, "F64", 64},
    {TensorType::C64, "C64", 64},
    {TensorType::F4, "F4", 4},
    {TensorType::F6_E2M3, "F6_E2M3", 6},
    {TensorType::F6_E3M2, "F6_E3M2", 6},
}};

// The rows stand in the order of the enumeration.
const TypeRow& row(TensorType type) noexcept {
  return kTypes[static_cast<std::size_t>(type)];
}

}  // namespace

const char* typeName(TensorType type) noexcept {
  return row(type).name;
}

int typeBits(TensorType type) noexcept {
  return row(type).bits;
}

std::optional<TensorType> typeFromName(std::string_view name) noexcept {
  for (const TypeRow& candidate : kTypes) {
    if (name == candidate.name) {
      return candidate.type;
    }
  }
  return std::nullopt;
}

std::optional<FloatType> floatType(TensorType type) noexcept {
  switch (type) {
    case TensorType::F32:
      return FloatType::F32;
    case TensorType::BF16:
      return FloatType::BF16;
    case TensorType::F16:
      return FloatType::F16;
    default:
      return std::nullopt;
  }
}

TensorType tensorType(FloatType type) noexcept {
  return type == FloatType::F32 ? TensorType::F32 : type == FloatType::BF16 ? TensorType::BF16 : TensorType::F16;
}

std::optional<std::uint64_t> tensorBytes(TensorType type, std::span<const std::int64_t> shape) noexcept {
  std::int64_t bits = typeBits(type);
  bool empty = false;
  for (const std::int64_t size : shape) {
    if (size < 0 || (size > 0 && bits > std::numeric_limits<std::int64_t>::max() / size)) {
      return std::nullopt;
    }
    empty = empty || size == 0;
    bits *= size > 0 ? size : 1;
  }
  if (empty) {
    return 0;
  }
  return bits % 8 == 0 ? std::optional(static_cast<std::uint64_t>(bits / 8)) : std::nullopt;
}

std::string shapeText(std::span<const std::int64_t> shape) {
  std::string text = "[";
  for (const std::int64_t size : shape) {
    text += (text.size() > 1 ? ", " : "") + std::to_string(size);
  }
  return text + "]";
}

std::int64_t TensorView::elements() const noexcept {
  std::int64_t count = 1;
  for (const std::int64_t size : shape) {
    count *= size;
  }
  return count;
}

}  // namespace headscope
