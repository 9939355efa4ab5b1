#pragma once

// Metadata of a GGUF file by key, with the range checks of JsonReader. Keys are those behind "{architecture}.".

#include <cstdint>
#include <optional>
#include <string>

#include "core/files/gguf.h"
#include "core/files/json.h"

namespace headscope {

class GgufMetadata {
 public:
  /// Throws Error naming the file if general.architecture is missing.
  explicit GgufMetadata(const GgufFile& file);

  const std::string& architecture() const noexcept { return architecture_; }
  std::string name() const;  ///< general.name, or empty

  bool has(const std::string& key) const;
  bool isArray(const std::string& key) const;
  std::int64_t integer(const std::string& key, std::int64_t low, std::int64_t high) const;
  std::int64_t integerOr(const std::string& key, std::int64_t fallback, std::int64_t low, std::int64_t high) const;
  std::optional<double> number(const std::string& key) const;
  std::string textOr(const std::string& key, const std::string& fallback) const;
  bool flagOr(const std::string& key, bool fallback) const;

  /// config[name] = number(key), if the key is there.
  void copyNumber(const std::string& key, Json& config, const char* name) const;

 private:
  const GgufValue* find(const std::string& key) const;
  std::optional<std::int64_t> whole(const std::string& key) const;
  [[noreturn]] void fail(const std::string& key, const std::string& problem) const;

  const GgufFile& file_;
  std::string architecture_;
};

}  // namespace headscope
