#include "core/files/json.h"

#include <cmath>
#include <limits>
#include <optional>
#include <unordered_set>
#include <vector>

#include "core/base/text.h"
#include "core/files/atomic_file.h"

namespace headscope {
namespace {

// Builds the document while it watches depth and keys. Recursion inside nlohmann-json's destructor is
// bounded by the depth limit.
class StrictBuilder : public nlohmann::json_sax<Json> {
 public:
  StrictBuilder(Json& root, const std::string& where, int depthLimit)
      : builder_(root, false), where_(where), depthLimit_(depthLimit) {}

  bool null() override { return builder_.null(); }
  bool boolean(bool value) override { return builder_.boolean(value); }
  bool number_integer(number_integer_t value) override { return builder_.number_integer(value); }
  bool number_unsigned(number_unsigned_t value) override { return builder_.number_unsigned(value); }
  bool number_float(number_float_t value, const string_t& text) override { return builder_.number_float(value, text); }
  bool string(string_t& value) override { return builder_.string(value); }
  bool binary(binary_t& value) override { return builder_.binary(value); }

  bool start_object(std::size_t size) override {
    enter();
    keys_.emplace_back();
    return builder_.start_object(size);
  }
  bool key(string_t& name) override {
    if (!keys_.back().insert(name).second) {
      throw Error(where_, concat("JSON key \"", name.substr(0, 200), "\" is there twice"));
    }
    return builder_.key(name);
  }
  bool end_object() override {
    keys_.pop_back();
    --depth_;
    return builder_.end_object();
  }
  bool start_array(std::size_t size) override {
    enter();
    return builder_.start_array(size);
  }
  bool end_array() override {
    --depth_;
    return builder_.end_array();
  }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception& error) override {
    throw Error(where_, concat("is not valid JSON at byte ", position, ": ", cause(error.what())));
  }

 private:
  void enter() {
    if (++depth_ > depthLimit_) {
      throw Error(where_, concat("JSON is nested more than ", depthLimit_, " deep"));
    }
  }

  // The library's text without its own prefix "[json.exception…] parse error at …: ".
  static std::string cause(const std::string& text) {
    const std::size_t at = text.find("syntax error");
    return (at == std::string::npos ? text : text.substr(at)).substr(0, 300);
  }

  nlohmann::detail::json_sax_dom_parser<Json> builder_;
  const std::string& where_;
  int depthLimit_;
  int depth_ = 0;
  std::vector<std::unordered_set<std::string>> keys_;
};

// Nothing if the value is no whole number of 64 bits. Some writers store whole numbers as 8.0.
std::optional<std::int64_t> wholeNumber(const Json& value) {
  if (value.is_number_unsigned()) {
    const auto number = value.get<std::uint64_t>();
    return number <= std::numeric_limits<std::int64_t>::max() ? std::optional(static_cast<std::int64_t>(number))
                                                              : std::nullopt;
  }
  if (value.is_number_integer()) {
    return value.get<std::int64_t>();
  }
  const double real = value.is_number_float() ? value.get<double>() : NAN;
  const bool whole = std::floor(real) == real && std::abs(real) < 0x1p63;
  return whole ? std::optional(static_cast<std::int64_t>(real)) : std::nullopt;
}

}  // namespace

Json parseJson(std::string_view text, const std::string& where, const JsonLimits& limits) {
  if (text.size() > limits.bytes) {
    throw Error(where, concat("JSON is too large: ", text.size(), " bytes, at most ", limits.bytes, " are read"));
  }
  const std::size_t invalid = firstInvalidUtf8(text);
  if (invalid != std::string_view::npos) {
    throw Error(where, concat("JSON is not valid UTF-8 at byte ", invalid));
  }
  if (text.find('\0') != std::string_view::npos) {  // the library would take it for the end
    throw Error(where, concat("is not valid JSON: a NUL at byte ", text.find('\0')));
  }
  Json root;
  StrictBuilder builder(root, where, limits.depth);
  if (!Json::sax_parse(text, &builder)) {
    throw Error(where, "is not valid JSON");
  }
  return root;
}

Json readJson(const std::filesystem::path& path, const JsonLimits& limits) {
  return parseJson(readFile(path, limits.bytes), path.string(), limits);
}

JsonReader::JsonReader(const Json& object, std::string where) : object_(object), where_(std::move(where)) {
  if (!object_.is_object()) {
    fail("is not a JSON object");
  }
}

const Json* JsonReader::find(const char* key) const {
  const auto found = object_.find(key);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

bool JsonReader::has(const char* key) const {
  return find(key) != nullptr;
}

const Json& JsonReader::at(const char* key) const {
  const Json* value = find(key);
  if (value == nullptr) {
    fail(concat("\"", key, "\" is missing"));
  }
  return *value;
}

std::int64_t JsonReader::integer(const char* key, std::int64_t low, std::int64_t high) const {
  const Json& value = at(key);
  const std::optional<std::int64_t> number = wholeNumber(value);
  if (!number || *number < low || *number > high) {
    fail(concat("\"", key, "\" is ", value.dump().substr(0, 60), ", expected a whole number from ", low, " to ", high));
  }
  return *number;
}

std::int64_t JsonReader::integerOr(const char* key, std::int64_t fallback, std::int64_t low, std::int64_t high) const {
  return has(key) ? integer(key, low, high) : fallback;
}

double JsonReader::number(const char* key) const {
  const Json& value = at(key);
  if (!value.is_number() || !std::isfinite(value.get<double>())) {
    fail(concat("\"", key, "\" is ", value.dump().substr(0, 60), ", expected a number"));
  }
  return value.get<double>();
}

double JsonReader::numberOr(const char* key, double fallback) const {
  return has(key) ? number(key) : fallback;
}

bool JsonReader::booleanOr(const char* key, bool fallback) const {
  if (!has(key)) {
    return fallback;
  }
  const Json& value = at(key);
  if (!value.is_boolean()) {
    fail(concat("\"", key, "\" is ", value.dump().substr(0, 60), ", expected true or false"));
  }
  return value.get<bool>();
}

std::string JsonReader::string(const char* key) const {
  const Json& value = at(key);
  if (!value.is_string()) {
    fail(concat("\"", key, "\" is ", value.dump().substr(0, 60), ", expected a text"));
  }
  return value.get<std::string>();
}

std::string JsonReader::stringOr(const char* key, const std::string& fallback) const {
  return has(key) ? string(key) : fallback;
}

}  // namespace headscope
