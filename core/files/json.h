#pragma once

// The strict front before nlohmann-json that every file of a user goes through: size and depth limits,
// duplicate keys refused, UTF-8 checked, and errors that name the file and the place.
// Include it in .cpp files; public headers of the core don't show JSON.

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "core/base/error.h"

namespace headscope {

using Json = nlohmann::json;
using OrderedJson = nlohmann::ordered_json;

struct JsonLimits {
  std::uint64_t bytes = std::uint64_t{256} << 20;
  int depth = 64;
};

/// Parses `text`; `where` names it in errors.
Json parseJson(std::string_view text, const std::string& where, const JsonLimits& limits = {});
Json readJson(const std::filesystem::path& path, const JsonLimits& limits = {});

/// Reads members of one JSON object; every error names the file and the key.
/// A key that is absent or null counts as missing.
class JsonReader {
 public:
  /// Throws if `object` is no JSON object. Both must outlive the reader.
  JsonReader(const Json& object, std::string where);

  bool has(const char* key) const;
  const Json& at(const char* key) const;  ///< throws if missing

  std::int64_t integer(const char* key, std::int64_t low, std::int64_t high) const;
  std::int64_t integerOr(const char* key, std::int64_t fallback, std::int64_t low, std::int64_t high) const;
  double number(const char* key) const;  ///< finite
  double numberOr(const char* key, double fallback) const;
  bool booleanOr(const char* key, bool fallback) const;
  std::string string(const char* key) const;
  std::string stringOr(const char* key, const std::string& fallback) const;

  const std::string& where() const noexcept { return where_; }
  [[noreturn]] void fail(const std::string& problem) const { throw Error(where_, problem); }

 private:
  const Json* find(const char* key) const;

  const Json& object_;
  std::string where_;
};

}  // namespace headscope
