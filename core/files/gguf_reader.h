#pragma once

// Typed access to the metadata of a GGUF file; every error names the file and the key.
// A key that begins with "." is completed with the architecture: ".block_count" → "llama.block_count".

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/files/gguf.h"

namespace headscope {

class GgufReader {
 public:
  /// `file` must outlive the reader. Throws Error if general.architecture is missing.
  explicit GgufReader(const GgufFile& file);

  const std::string& architecture() const noexcept { return architecture_; }
  std::string fullKey(std::string_view key) const;
  bool has(std::string_view key) const;

  /// Integers of any width and sign; files differ (u32 or u64 for counts).
  std::int64_t integer(std::string_view key, std::int64_t low, std::int64_t high) const;
  std::int64_t integerOr(std::string_view key, std::int64_t fallback, std::int64_t low, std::int64_t high) const;
  double number(std::string_view key) const;  ///< finite; integers are fine, too
  double numberOr(std::string_view key, double fallback) const;
  bool boolean(std::string_view key) const;
  bool booleanOr(std::string_view key, bool fallback) const;
  std::string string(std::string_view key) const;
  std::string stringOr(std::string_view key, const std::string& fallback) const;

  /// One integer (or boolean, as 0 or 1) per layer: a single value counts for all layers, an array must have exactly
  /// `layers` elements.
  std::vector<std::int64_t> perLayer(std::string_view key, std::int64_t layers, std::int64_t low,
                                     std::int64_t high) const;

  /// Whole arrays, at most `limit` elements. The texts point into the file and may be any bytes.
  std::vector<std::string_view> strings(std::string_view key, std::uint64_t limit = kArrayLimit) const;
  std::vector<std::int64_t> integers(std::string_view key, std::uint64_t limit = kArrayLimit) const;
  std::vector<double> numbers(std::string_view key, std::uint64_t limit = kArrayLimit) const;

  static constexpr std::uint64_t kArrayLimit = std::uint64_t{1} << 22;  ///< tokens or merges of the largest vocabulary

 private:
  const GgufValue& at(std::string_view key) const;
  const GgufArray& array(std::string_view key, std::uint64_t limit) const;
  [[noreturn]] void fail(std::string_view key, const std::string& problem) const;

  const GgufFile& file_;
  std::string architecture_;
};

}  // namespace headscope
