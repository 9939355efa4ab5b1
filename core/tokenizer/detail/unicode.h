#pragma once

// Character classes and normal forms exactly as the tokenizers library sees them (it uses several versions of
// Unicode at once, see unicode_tables.h).

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace headscope::detail {

struct CodePointRange {
  char32_t first;
  char32_t last;
};

struct Character {
  char32_t codePoint = 0;
  std::size_t length = 0;  ///< bytes
};

/// The character at `at` of well-formed UTF-8 (at < text.size()).
inline Character characterAt(std::string_view text, std::size_t at) noexcept {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[at + i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) {
    return {lead, 1};
  }
  if (lead < 0xE0) {
    return {(lead & 0x1Fu) << 6 | (byte(1) & 0x3Fu), 2};
  }
  if (lead < 0xF0) {
    return {(lead & 0x0Fu) << 12 | (byte(1) & 0x3Fu) << 6 | (byte(2) & 0x3Fu), 3};
  }
  return {(lead & 0x07u) << 18 | (byte(1) & 0x3Fu) << 12 | (byte(2) & 0x3Fu) << 6 | (byte(3) & 0x3Fu), 4};
}

/// Start of the character that ends before `at` (at > 0).
inline std::size_t previousCharacter(std::string_view text, std::size_t at) noexcept {
  do {
    --at;
  } while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80);
  return at;
}

inline std::size_t utf8Length(char32_t c) noexcept {
  return c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
}

std::size_t countCharacters(std::string_view text) noexcept;

bool isWhiteSpace(char32_t c) noexcept;     ///< property White_Space
bool isNumeric(char32_t c) noexcept;        ///< categories N*
bool isPunctuation(char32_t c) noexcept;    ///< categories P* and ASCII punctuation
bool isCombiningMark(char32_t c) noexcept;  ///< categories M* of Unicode 9
bool isNonspacingMark(char32_t c) noexcept;
bool isOther(char32_t c) noexcept;  ///< categories C*

/// One or two characters; no context (a final sigma is an ordinary one).
std::vector<char32_t> lowerCase(char32_t c);

/// One step of an edit of a text: character `codePoint` appears; `change` 1: it is new; 0: it replaces the
/// next old character; −n: it replaces the next one and the n after it vanish.
struct Edit {
  char32_t codePoint = 0;
  int change = 0;
};

enum class NormalForm { D, C, KD, KC };

std::vector<Edit> normalForm(std::string_view text, NormalForm form);

/// `text` with characters that PCRE2 doesn't know replaced by others of the same kind and length; false and
/// `copy` untouched if there are none.
bool replaceUnknownCharacters(std::string_view text, std::string& copy);

}  // namespace headscope::detail
