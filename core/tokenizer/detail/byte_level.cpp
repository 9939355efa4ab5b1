#include "core/tokenizer/detail/byte_level.h"

#include <array>

#include "core/base/text.h"

namespace headscope::detail {
namespace {

struct Alphabet {
  std::array<char32_t, 256> characters{};
  std::array<std::int16_t, 0x144> bytes{};

  constexpr Alphabet() {
    bytes.fill(-1);
    char32_t next = 0x100;
    for (unsigned byte = 0; byte < 256; ++byte) {
      const bool printable = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
      characters[byte] = printable ? byte : next++;
      bytes[characters[byte]] = static_cast<std::int16_t>(byte);
    }
  }
};

constexpr Alphabet kAlphabet;

}  // namespace

char32_t byteLevelCharacter(unsigned char byte) noexcept {
  return kAlphabet.characters[byte];
}

int byteLevelByte(char32_t c) noexcept {
  return c < kAlphabet.bytes.size() ? kAlphabet.bytes[c] : -1;
}

void appendByteLevel(std::string_view text, const Span* spans, AlignedText& out) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    out.append(byteLevelCharacter(static_cast<unsigned char>(text[i])), spans[i]);
  }
}

}  // namespace headscope::detail
