#include "core/files/gguf_reader.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <optional>

#include "core/base/error.h"

namespace headscope {
namespace {

// Nothing if the value is no integer (booleans are none) or doesn't fit.
std::optional<std::int64_t> asInteger(const GgufValue& value) noexcept {
  if (const auto* number = std::get_if<std::int64_t>(&value)) {
    return *number;
  }
  const auto* number = std::get_if<std::uint64_t>(&value);
  if (number == nullptr || *number > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
    return std::nullopt;
  }
  return static_cast<std::int64_t>(*number);
}

template <typename Source, typename Target>
void copyAs(const GgufArray& array, std::vector<Target>& target) {
  target.resize(static_cast<std::size_t>(array.count));
  for (std::size_t i = 0; i < target.size(); ++i) {
    Source value;
    std::memcpy(&value, array.bytes.data() + i * sizeof value, sizeof value);
    target[i] = static_cast<Target>(value);
  }
}

// False if the array doesn't hold integers (or booleans), or one of them is too large.
template <typename Target>
bool copyIntegers(const GgufArray& array, std::vector<Target>& target) {
  switch (array.type) {
    case GgufValueType::U8:
      copyAs<std::uint8_t>(array, target);
      return true;
    case GgufValueType::I8:
      copyAs<std::int8_t>(array, target);
      return true;
    case GgufValueType::U16:
      copyAs<std::uint16_t>(array, target);
      return true;
    case GgufValueType::I16:
      copyAs<std::int16_t>(array, target);
      return true;
    case GgufValueType::U32:
      copyAs<std::uint32_t>(array, target);
      return true;
    case GgufValueType::I32:
      copyAs<std::int32_t>(array, target);
      return true;
    case GgufValueType::I64:
      copyAs<std::int64_t>(array, target);
      return true;
    case GgufValueType::U64:
      copyAs<std::uint64_t>(array, target);
      for (const Target value : target) {
        if (value < Target{0}) {  // wrapped around
          return false;
        }
      }
      return true;
    case GgufValueType::Bool:
      copyAs<std::uint8_t>(array, target);
      for (Target& value : target) {
        value = value != Target{0} ? Target{1} : Target{0};
      }
      return true;
    default:
      return false;
  }
}

}  // namespace

GgufReader::GgufReader(const GgufFile& file) : file_(file) {
  architecture_ = string("general.architecture");
}

void GgufReader::fail(std::string_view key, const std::string& problem) const {
  throw Error(file_.path().string(), concat("metadata \"", fullKey(key), "\" ", problem));
}

std::string GgufReader::fullKey(std::string_view key) const {
  return key.starts_with('.') ? concat(architecture_, key) : std::string(key);
}

bool GgufReader::has(std::string_view key) const {
  return file_.value(fullKey(key)) != nullptr;
}

const GgufValue& GgufReader::at(std::string_view key) const {
  const GgufValue* value = file_.value(fullKey(key));
  if (value == nullptr) {
    fail(key, "is missing");
  }
  return *value;
}

std::int64_t GgufReader::integer(std::string_view key, std::int64_t low, std::int64_t high) const {
  const std::optional<std::int64_t> value = asInteger(at(key));
  if (!value || *value < low || *value > high) {
    fail(key, concat(value ? concat("is ", *value) : std::string("is something else"),
                     ", expected a whole number from ", low, " to ", high));
  }
  return *value;
}

std::int64_t GgufReader::integerOr(std::string_view key, std::int64_t fallback, std::int64_t low,
                                   std::int64_t high) const {
  return has(key) ? integer(key, low, high) : fallback;
}

double GgufReader::number(std::string_view key) const {
  const GgufValue& value = at(key);
  if (const auto whole = asInteger(value)) {
    return static_cast<double>(*whole);
  }
  const auto* real = std::get_if<double>(&value);
  if (real == nullptr || !std::isfinite(*real)) {
    fail(key, real == nullptr ? "is something else than a number" : "is not finite");
  }
  return *real;
}

double GgufReader::numberOr(std::string_view key, double fallback) const {
  return has(key) ? number(key) : fallback;
}

bool GgufReader::boolean(std::string_view key) const {
  const auto* truth = std::get_if<bool>(&at(key));
  if (truth == nullptr) {
    fail(key, "is neither true nor false");
  }
  return *truth;
}

bool GgufReader::booleanOr(std::string_view key, bool fallback) const {
  return has(key) ? boolean(key) : fallback;
}

std::string GgufReader::string(std::string_view key) const {
  const auto* text = std::get_if<std::string_view>(&at(key));
  if (text == nullptr) {
    fail(key, "is no text");
  }
  return std::string(*text);
}

std::string GgufReader::stringOr(std::string_view key, const std::string& fallback) const {
  return has(key) ? string(key) : fallback;
}

const GgufArray& GgufReader::array(std::string_view key, std::uint64_t limit) const {
  const auto* list = std::get_if<GgufArray>(&at(key));
  if (list == nullptr) {
    fail(key, "is no array");
  }
  if (list->count > limit) {
    fail(key, concat("has ", list->count, " elements, at most ", limit, " are read"));
  }
  return *list;
}

std::vector<std::int64_t> GgufReader::perLayer(std::string_view key, std::int64_t layers, std::int64_t low,
                                               std::int64_t high) const {
  const GgufValue& value = at(key);
  if (const auto* truth = std::get_if<bool>(&value)) {
    return std::vector<std::int64_t>(static_cast<std::size_t>(layers), *truth ? 1 : 0);
  }
  if (!std::holds_alternative<GgufArray>(value)) {
    return std::vector<std::int64_t>(static_cast<std::size_t>(layers), integer(key, low, high));
  }
  const GgufArray& list = array(key, kArrayLimit);
  if (list.count != static_cast<std::uint64_t>(layers)) {
    fail(key, concat("has ", list.count, " elements for ", layers, " layers"));
  }
  std::vector<std::int64_t> all = integers(key);
  for (const std::int64_t one : all) {
    if (one < low || one > high) {
      fail(key, concat("contains ", one, ", expected whole numbers from ", low, " to ", high));
    }
  }
  return all;
}

std::vector<std::string_view> GgufReader::strings(std::string_view key, std::uint64_t limit) const {
  const GgufArray& list = array(key, limit);
  if (list.type != GgufValueType::String) {
    fail(key, concat("is an array of ", ggufValueTypeName(list.type), ", expected texts"));
  }
  std::vector<std::string_view> all;
  all.reserve(static_cast<std::size_t>(list.count));
  const char* at = reinterpret_cast<const char*>(list.bytes.data());
  for (std::uint64_t i = 0; i < list.count; ++i) {
    std::uint64_t length = 0;
    std::memcpy(&length, at, sizeof length);
    at += sizeof length;
    all.emplace_back(at, static_cast<std::size_t>(length));
    at += length;
  }
  return all;
}

std::vector<std::int64_t> GgufReader::integers(std::string_view key, std::uint64_t limit) const {
  const GgufArray& list = array(key, limit);
  std::vector<std::int64_t> all;
  if (!copyIntegers(list, all)) {
    fail(key, concat("is an array of ", ggufValueTypeName(list.type), ", expected whole numbers below 2^63"));
  }
  return all;
}

std::vector<double> GgufReader::numbers(std::string_view key, std::uint64_t limit) const {
  const GgufArray& list = array(key, limit);
  std::vector<double> all;
  if (list.type == GgufValueType::F32) {
    copyAs<float>(list, all);
  } else if (list.type == GgufValueType::F64) {
    copyAs<double>(list, all);
  } else if (!copyIntegers(list, all)) {
    fail(key, concat("is an array of ", ggufValueTypeName(list.type), ", expected numbers"));
  }
  return all;
}

}  // namespace headscope
