#include "core/model/detail/gguf_metadata.h"

#include <cmath>
#include <cstring>

#include "core/base/error.h"
#include "core/base/text.h"

namespace headscope {
namespace {

std::optional<std::int64_t> wholeNumber(const GgufValue& value) {
  if (const auto* number = std::get_if<std::uint64_t>(&value)) {
    return *number <= static_cast<std::uint64_t>(INT64_MAX) ? std::optional(static_cast<std::int64_t>(*number))
                                                            : std::nullopt;
  }
  const auto* number = std::get_if<std::int64_t>(&value);
  return number != nullptr ? std::optional(*number) : std::nullopt;
}

template <typename Number>
Number elementAt(const GgufArray& array, std::uint64_t index) {
  Number value;
  std::memcpy(&value, array.bytes.data() + index * sizeof value, sizeof value);
  return value;
}

// Sizes that a file gives a layer each (head counts): one number if they are all equal.
std::optional<std::int64_t> commonNumber(const GgufArray& array) {
  if (array.count == 0 || (array.type != GgufValueType::I32 && array.type != GgufValueType::U32)) {
    return std::nullopt;
  }
  for (std::uint64_t i = 1; i < array.count; ++i) {
    if (elementAt<std::int32_t>(array, i) != elementAt<std::int32_t>(array, 0)) {
      return std::nullopt;
    }
  }
  return elementAt<std::int32_t>(array, 0);
}

}  // namespace

GgufMetadata::GgufMetadata(const GgufFile& file) : file_(file) {
  const GgufValue* value = file.value("general.architecture");
  const auto* text = value != nullptr ? std::get_if<std::string_view>(value) : nullptr;
  if (text == nullptr) {
    throw Error(file.path().string(), "\"general.architecture\" is missing: it doesn't say which model this is");
  }
  if (!isUtf8(*text)) {
    throw Error(file.path().string(), "\"general.architecture\" is not UTF-8");
  }
  architecture_ = text->substr(0, 60);
}

std::string GgufMetadata::name() const {
  const GgufValue* value = file_.value("general.name");
  const auto* text = value != nullptr ? std::get_if<std::string_view>(value) : nullptr;
  return text != nullptr && isUtf8(*text) ? std::string(text->substr(0, 200)) : std::string();
}

const GgufValue* GgufMetadata::find(const std::string& key) const {
  return file_.value(architecture_ + "." + key);
}

void GgufMetadata::fail(const std::string& key, const std::string& problem) const {
  throw Error(file_.path().string(), concat("\"", architecture_, ".", key, "\" ", problem));
}

bool GgufMetadata::has(const std::string& key) const {
  return find(key) != nullptr;
}

bool GgufMetadata::isArray(const std::string& key) const {
  const GgufValue* value = find(key);
  return value != nullptr && std::holds_alternative<GgufArray>(*value);
}

std::optional<std::int64_t> GgufMetadata::whole(const std::string& key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) {
    return std::nullopt;
  }
  const auto* array = std::get_if<GgufArray>(value);
  const std::optional<std::int64_t> number = array != nullptr ? commonNumber(*array) : wholeNumber(*value);
  if (!number) {
    fail(key, array != nullptr ? "differs between layers, which is not covered here" : "is no whole number");
  }
  return number;
}

std::int64_t GgufMetadata::integer(const std::string& key, std::int64_t low, std::int64_t high) const {
  const std::optional<std::int64_t> number = whole(key);
  if (!number) {
    fail(key, "is missing");
  }
  if (*number < low || *number > high) {
    fail(key, concat("is ", *number, ", expected ", low, " to ", high));
  }
  return *number;
}

std::int64_t GgufMetadata::integerOr(const std::string& key, std::int64_t fallback, std::int64_t low,
                                     std::int64_t high) const {
  return has(key) ? integer(key, low, high) : fallback;
}

std::optional<double> GgufMetadata::number(const std::string& key) const {
  const GgufValue* value = find(key);
  if (value == nullptr) {
    return std::nullopt;
  }
  if (const auto* real = std::get_if<double>(value); real != nullptr && std::isfinite(*real)) {
    return *real;
  }
  if (const std::optional<std::int64_t> integer = wholeNumber(*value)) {
    return static_cast<double>(*integer);
  }
  fail(key, "is no finite number");
}

std::string GgufMetadata::textOr(const std::string& key, const std::string& fallback) const {
  const GgufValue* value = find(key);
  if (value == nullptr) {
    return fallback;
  }
  const auto* text = std::get_if<std::string_view>(value);
  if (text == nullptr || !isUtf8(*text)) {
    fail(key, "is no text");
  }
  return std::string(text->substr(0, 60));
}

bool GgufMetadata::flagOr(const std::string& key, bool fallback) const {
  const GgufValue* value = find(key);
  if (value == nullptr) {
    return fallback;
  }
  const auto* flag = std::get_if<bool>(value);
  if (flag == nullptr) {
    fail(key, "is neither true nor false");
  }
  return *flag;
}

void GgufMetadata::copyNumber(const std::string& key, Json& config, const char* name) const {
  if (const std::optional<double> value = number(key)) {
    config[name] = *value;
  }
}

}  // namespace headscope
