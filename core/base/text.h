#pragma once

// Small helpers for UTF-8 text.

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace headscope {

/// True if `bytes` is well-formed UTF-8 (no surrogates, no overlong forms, at most U+10FFFF).
bool isUtf8(std::string_view bytes) noexcept;

/// Position of the first byte that breaks UTF-8, or npos.
std::size_t firstInvalidUtf8(std::string_view bytes) noexcept;

/// Code points of well-formed UTF-8; ill-formed bytes become U+FFFD, one each.
std::vector<char32_t> codePoints(std::string_view utf8);

/// Appends one code point as UTF-8.
void appendUtf8(std::string& out, char32_t codePoint);

}  // namespace headscope
