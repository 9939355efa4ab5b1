#pragma once

// Comparing a Tokenizer with what the tokenizers library said (golden files).

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/tokenizer/tokenizer.h"

namespace headscope::test {

/// FNV-1a, 32 bits.
inline std::uint32_t fnv(std::string_view bytes) {
  std::uint32_t value = 0x811C9DC5u;
  for (const char byte : bytes) {
    value = (value ^ static_cast<unsigned char>(byte)) * 0x01000193u;
  }
  return value;
}

/// The same over numbers, each as 4 little-endian bytes.
inline std::uint32_t fnv(const std::vector<std::int64_t>& numbers) {
  std::string bytes;
  for (const std::int64_t number : numbers) {
    for (int shift = 0; shift < 32; shift += 8) {
      bytes.push_back(static_cast<char>(number >> shift & 0xFF));
    }
  }
  return fnv(bytes);
}

/// The library counts code points: begin and end of every token, one after the other.
inline std::vector<std::int64_t> codePointOffsets(std::string_view text, const Encoding& encoding) {
  std::vector<std::int64_t> index(text.size() + 1);
  std::int64_t count = 0;
  for (std::size_t at = 0; at < text.size(); ++at) {
    count += (static_cast<unsigned char>(text[at]) & 0xC0) != 0x80 ? 1 : 0;
    index[at] = count - 1;
  }
  index[text.size()] = count;
  std::vector<std::int64_t> offsets;
  for (const auto& [begin, end] : encoding.offsets) {
    offsets.push_back(index.at(begin));
    offsets.push_back(index.at(end));
  }
  return offsets;
}

}  // namespace headscope::test
