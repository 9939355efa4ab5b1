#pragma once

// GPT-2's alphabet: every byte as one printable character. 188 bytes stand for themselves; the others, in
// increasing order, for U+0100 and up.

#include <cstdint>
#include <string_view>

#include "core/tokenizer/detail/segments.h"

namespace headscope::detail {

char32_t byteLevelCharacter(unsigned char byte) noexcept;
/// The byte that `c` stands for, −1 if it is none of the alphabet.
int byteLevelByte(char32_t c) noexcept;

/// Appends one character per byte of `text`, each with the span of its byte.
void appendByteLevel(std::string_view text, const Span* spans, AlignedText& out);

}  // namespace headscope::detail
