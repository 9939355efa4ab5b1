#include "core/base/text.h"

namespace headscope {
namespace {

struct Decoded {
  char32_t codePoint = 0;
  std::size_t length = 0;  ///< 0: ill-formed
};

// The table of well-formed byte sequences of the Unicode Standard, section 3.9 (table 3-7).
Decoded decodeOne(std::string_view bytes, std::size_t at) noexcept {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(bytes[at + i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) {
    return {lead, 1};
  }
  std::size_t length = 0;
  unsigned char low = 0x80;
  unsigned char high = 0xBF;
  if (lead >= 0xC2 && lead <= 0xDF) {
    length = 2;
  } else if (lead >= 0xE0 && lead <= 0xEF) {
    length = 3;
    low = lead == 0xE0 ? 0xA0 : 0x80;
    high = lead == 0xED ? 0x9F : 0xBF;
  } else if (lead >= 0xF0 && lead <= 0xF4) {
    length = 4;
    low = lead == 0xF0 ? 0x90 : 0x80;
    high = lead == 0xF4 ? 0x8F : 0xBF;
  } else {
    return {};
  }
  if (at + length > bytes.size() || byte(1) < low || byte(1) > high) {
    return {};
  }
  char32_t codePoint = lead & (0xFFu >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) {
      return {};
    }
    codePoint = (codePoint << 6) | (byte(i) & 0x3Fu);
  }
  return {codePoint, length};
}

}  // namespace

std::size_t firstInvalidUtf8(std::string_view bytes) noexcept {
  for (std::size_t at = 0; at < bytes.size();) {
    const Decoded one = decodeOne(bytes, at);
    if (one.length == 0) {
      return at;
    }
    at += one.length;
  }
  return std::string_view::npos;
}

bool isUtf8(std::string_view bytes) noexcept {
  return firstInvalidUtf8(bytes) == std::string_view::npos;
}

std::vector<char32_t> codePoints(std::string_view utf8) {
  std::vector<char32_t> points;
  points.reserve(utf8.size());
  for (std::size_t at = 0; at < utf8.size();) {
    const Decoded one = decodeOne(utf8, at);
    points.push_back(one.length == 0 ? U'\uFFFD' : one.codePoint);
    at += one.length == 0 ? 1 : one.length;
  }
  return points;
}

void appendUtf8(std::string& out, char32_t c) {
  const auto put = [&](char32_t value) { out.push_back(static_cast<char>(value)); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xC0 | (c >> 6));
    put(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    put(0xE0 | (c >> 12));
    put(0x80 | ((c >> 6) & 0x3F));
    put(0x80 | (c & 0x3F));
  } else {
    put(0xF0 | (c >> 18));
    put(0x80 | ((c >> 12) & 0x3F));
    put(0x80 | ((c >> 6) & 0x3F));
    put(0x80 | (c & 0x3F));
  }
}

}  // namespace headscope
