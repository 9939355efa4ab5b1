#include "core/tokenizer/detail/unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <iterator>
#include <unordered_map>

#include "core/base/text.h"
#include "core/tokenizer/detail/unicode_tables.h"

namespace headscope::detail {
namespace {

template <typename Range, std::size_t n>
const Range* findRange(const Range (&ranges)[n], char32_t c) noexcept {
  const Range* after = std::upper_bound(std::begin(ranges), std::end(ranges), c,
                                        [](char32_t value, const Range& range) { return value < range.first; });
  return after != std::begin(ranges) && c <= std::prev(after)->last ? std::prev(after) : nullptr;
}

utf8proc_category_t category(char32_t c) noexcept {
  return utf8proc_category(static_cast<utf8proc_int32_t>(c));
}

int combiningClass(char32_t c) noexcept {
  if (c < 0x300 || findRange(kMarksAfterUnicode9, c) != nullptr) {
    return 0;
  }
  return utf8proc_get_property(static_cast<utf8proc_int32_t>(c))->combining_class;
}

// Full decomposition of one character.
std::vector<char32_t> decompose(char32_t c, bool compatible) {
  if (c < 0x80 || findRange(kMarksAfterUnicode9, c) != nullptr ||
      findRange(kDecompositionsAfterUnicode9, c) != nullptr) {
    return {c};
  }
  utf8proc_int32_t buffer[32];
  int lastBoundary = 0;
  const auto options = static_cast<utf8proc_option_t>(UTF8PROC_DECOMPOSE | (compatible ? UTF8PROC_COMPAT : 0));
  const auto count = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c), buffer, 32, options, &lastBoundary);
  if (count <= 0 || count > 32) {
    return {c};
  }
  return {buffer, buffer + count};
}

// Primary composites of Unicode 9, Hangul aside: pair of characters → composite. A composite's own pair is the
// composed form of all but the last character of its full decomposition, and that last one.
std::unordered_map<std::uint64_t, char32_t> makeCompositions() {
  const auto compose = [](std::vector<char32_t> points) {
    std::vector<utf8proc_int32_t> buffer(points.begin(), points.end());
    const auto length = utf8proc_normalize_utf32(buffer.data(), static_cast<utf8proc_ssize_t>(buffer.size()),
                                                 static_cast<utf8proc_option_t>(UTF8PROC_COMPOSE | UTF8PROC_STABLE));
    return length == 1 ? static_cast<char32_t>(buffer[0]) : char32_t{0};
  };
  std::unordered_map<std::uint64_t, char32_t> pairs;
  for (char32_t c = 0xA0; c < 0x30000; ++c) {
    if (c >= 0xAC00 && c < 0xE000) {
      continue;
    }
    std::vector<char32_t> parts = decompose(c, false);
    if (parts.size() < 2 || compose(parts) != c) {
      continue;
    }
    const char32_t last = parts.back();
    parts.pop_back();
    const char32_t first = parts.size() == 1 ? parts[0] : compose(parts);
    if (first != 0) {
      pairs.emplace(std::uint64_t{first} << 32 | last, c);
    }
  }
  return pairs;
}

// 0 if the two don't compose. Hangul: the Unicode Standard, section 3.12.
char32_t composed(char32_t a, char32_t b) {
  if (a >= 0x1100 && a < 0x1113 && b >= 0x1161 && b < 0x1176) {
    return 0xAC00 + ((a - 0x1100) * 21 + (b - 0x1161)) * 28;
  }
  if (a >= 0xAC00 && a < 0xD7A4 && (a - 0xAC00) % 28 == 0 && b > 0x11A7 && b < 0x11C3) {
    return a + (b - 0x11A7);
  }
  static const std::unordered_map<std::uint64_t, char32_t> pairs = makeCompositions();
  const auto found = pairs.find(std::uint64_t{a} << 32 | b);
  return found == pairs.end() ? 0 : found->second;
}

struct Decomposed {
  Edit edit;
  int combiningClass = 0;
};

// The canonical ordering moves a character together with its edit step: that is what the library's offsets
// after a reordering follow from.
std::vector<Decomposed> decomposeText(std::string_view text, bool compatible) {
  std::vector<Decomposed> result;
  result.reserve(text.size());
  std::size_t pending = 0;
  const auto order = [&] {
    std::stable_sort(result.begin() + static_cast<std::ptrdiff_t>(pending), result.end(),
                     [](const Decomposed& a, const Decomposed& b) { return a.combiningClass < b.combiningClass; });
    pending = result.size();
  };
  const auto put = [&](char32_t c, int change) {
    const int rank = combiningClass(c);
    if (rank == 0 && pending < result.size()) {
      order();
    }
    result.push_back({{c, change}, rank});
    if (rank == 0) {
      pending = result.size();  // nothing sorts before or past a starter
    }
  };
  for (std::size_t at = 0; at < text.size();) {
    const Character one = characterAt(text, at);
    at += one.length;
    if (one.codePoint < 0xA0) {
      put(one.codePoint, 0);
      continue;
    }
    int change = 0;
    for (const char32_t c : decompose(one.codePoint, compatible)) {
      put(c, change);
      change = 1;
    }
  }
  order();
  return result;
}

std::vector<Edit> compose(const std::vector<Decomposed>& decomposed) {
  std::vector<Edit> result;
  result.reserve(decomposed.size());
  bool haveStarter = false;
  std::size_t starter = 0;  // in `result`
  int lastClass = -1;       // of the last character after the starter that stayed; −1: none
  for (const Decomposed& next : decomposed) {
    if (haveStarter && lastClass < next.combiningClass) {
      const char32_t both = composed(result[starter].codePoint, next.edit.codePoint);
      if (both != 0) {
        result[starter].codePoint = both;
        result[starter].change += next.edit.change - 1;
        continue;
      }
    }
    if (next.combiningClass == 0) {
      haveStarter = true;
      starter = result.size();
      lastClass = -1;
    } else {
      lastClass = next.combiningClass;
    }
    result.push_back(next.edit);
  }
  return result;
}

}  // namespace

std::size_t countCharacters(std::string_view text) noexcept {
  return static_cast<std::size_t>(std::count_if(
      text.begin(), text.end(), [](char byte) { return (static_cast<unsigned char>(byte) & 0xC0) != 0x80; }));
}

bool isWhiteSpace(char32_t c) noexcept {
  return (c >= 0x09 && c <= 0x0D) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

bool isNumeric(char32_t c) noexcept {
  if (c < 0x80) {
    return c >= '0' && c <= '9';
  }
  const auto kind = category(c);
  return (kind >= UTF8PROC_CATEGORY_ND && kind <= UTF8PROC_CATEGORY_NO) || findRange(kNewNumbers, c) != nullptr;
}

bool isPunctuation(char32_t c) noexcept {
  if (c < 0x80) {
    return (c >= 0x21 && c <= 0x2F) || (c >= 0x3A && c <= 0x40) || (c >= 0x5B && c <= 0x60) || (c >= 0x7B && c <= 0x7E);
  }
  const auto kind = category(c);
  const bool punctuation =
      (kind >= UTF8PROC_CATEGORY_PC && kind <= UTF8PROC_CATEGORY_PO) || c == 0x166D || c == 0x111C9;
  return punctuation && findRange(kPunctuationAfterUnicode8, c) == nullptr;
}

bool isCombiningMark(char32_t c) noexcept {
  const auto kind = category(c);
  const bool mark = (kind >= UTF8PROC_CATEGORY_MN && kind <= UTF8PROC_CATEGORY_ME) || c == 0x1CF2 || c == 0x1CF3;
  return mark && findRange(kMarksAfterUnicode9, c) == nullptr;
}

bool isNonspacingMark(char32_t c) noexcept {
  return category(c) == UTF8PROC_CATEGORY_MN && findRange(kMarksAfterUnicode9, c) == nullptr;
}

bool isOther(char32_t c) noexcept {
  const auto kind = category(c);
  return kind == UTF8PROC_CATEGORY_CN || (kind >= UTF8PROC_CATEGORY_CC && kind <= UTF8PROC_CATEGORY_CO);
}

std::vector<char32_t> lowerCase(char32_t c) {
  if (c == 0x130) {
    return {'i', 0x307};
  }
  // Pairs newer than utf8proc's tables.
  if (c == 0x1C89 || c == 0xA7CC || c == 0xA7CE || c == 0xA7D2 || c == 0xA7D4 || c == 0xA7DA) {
    return {c + 1};
  }
  if (c == 0xA7CB) {
    return {0x264};
  }
  if (c == 0xA7DC) {
    return {0x19B};
  }
  if (c >= 0x10D50 && c <= 0x10D65) {
    return {c + 0x20};
  }
  if (c >= 0x16EA0 && c <= 0x16EB8) {
    return {c + 0x1B};
  }
  return {static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c)))};
}

std::vector<Edit> normalForm(std::string_view text, NormalForm form) {
  const std::vector<Decomposed> decomposed = decomposeText(text, form == NormalForm::KD || form == NormalForm::KC);
  if (form == NormalForm::C || form == NormalForm::KC) {
    return compose(decomposed);
  }
  std::vector<Edit> edits;
  edits.reserve(decomposed.size());
  for (const Decomposed& one : decomposed) {
    edits.push_back(one.edit);
  }
  return edits;
}

bool replaceUnknownCharacters(std::string_view text, std::string& copy) {
  bool found = false;
  for (std::size_t at = 0; at < text.size();) {
    const auto lead = static_cast<unsigned char>(text[at]);
    if (lead < 0xE0) {
      at += lead < 0x80 ? 1 : 2;
      continue;
    }
    const Character one = characterAt(text, at);
    if (const StandIn* range = findRange(kStandIns, one.codePoint)) {
      if (!found) {
        copy.assign(text);
        found = true;
      }
      std::string replacement;
      appendUtf8(replacement, range->standIn);
      copy.replace(at, one.length, replacement);
    }
    at += one.length;
  }
  return found;
}

}  // namespace headscope::detail
