#include "core/tokenizer/detail/regex_classes.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <utility>

#include "core/base/error.h"

namespace headscope::detail {
namespace {

constexpr std::string_view kWordInBrackets = R"(\p{Alphabetic}\p{M}\p{Nd}\p{Pc})";
constexpr std::string_view kWord = R"(\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{B2}\x{B3}\x{B9}\x{BC}-\x{BE})";
constexpr std::string_view kSpace = R"(\p{White_Space})";
constexpr std::string_view kHex = "0-9A-Fa-f";
constexpr std::string_view kAlpha =
    R"(\p{Alphabetic}\x{363}-\x{36F}\x{C04}\x{F82}\x{F83}\x{1DD3}-\x{1DE6}\x{11080}\x{11081})";

struct Named {
  std::string_view name;
  std::string_view members;
};

constexpr std::array<Named, 14> kPosix = {{
    {"alpha", kAlpha},
    {"alnum", R"(\p{Alphabetic}\x{363}-\x{36F}\x{C04}\x{F82}\x{F83}\x{1DD3}-\x{1DE6}\x{11080}\x{11081}\p{Nd})"},
    {"digit", R"(\p{Nd})"},
    {"space", kSpace},
    {"blank", R"(\p{Zs}\t)"},
    {"upper", R"(\p{Uppercase})"},
    {"lower", R"(\p{Lowercase}\x{10FC}\x{A7F2}-\x{A7F4}\x{AB69})"},
    {"punct", R"(\p{P}\p{S})"},
    {"word", kWordInBrackets},
    {"xdigit", kHex},
    {"cntrl", R"(\p{Cc})"},
    {"ascii", R"(\x00-\x7F)"},
    {"graph", R"(\p{L}\p{M}\p{N}\p{P}\p{S}\p{Cf}\p{Co}\p{Cs})"},
    {"print", R"(\p{L}\p{M}\p{N}\p{P}\p{S}\p{Cf}\p{Co}\p{Cs}\p{Zs})"},
}};

// Long names of general categories, without spaces, '_' and '-', in lower case.
constexpr std::array<std::pair<std::string_view, std::string_view>, 37> kCategories = {{
    {"any", "Any"},
    {"letter", "L"},
    {"casedletter", "L&"},
    {"uppercaseletter", "Lu"},
    {"lowercaseletter", "Ll"},
    {"titlecaseletter", "Lt"},
    {"modifierletter", "Lm"},
    {"otherletter", "Lo"},
    {"mark", "M"},
    {"nonspacingmark", "Mn"},
    {"spacingmark", "Mc"},
    {"enclosingmark", "Me"},
    {"number", "N"},
    {"decimalnumber", "Nd"},
    {"letternumber", "Nl"},
    {"othernumber", "No"},
    {"punctuation", "P"},
    {"connectorpunctuation", "Pc"},
    {"dashpunctuation", "Pd"},
    {"openpunctuation", "Ps"},
    {"closepunctuation", "Pe"},
    {"initialpunctuation", "Pi"},
    {"finalpunctuation", "Pf"},
    {"otherpunctuation", "Po"},
    {"symbol", "S"},
    {"mathsymbol", "Sm"},
    {"currencysymbol", "Sc"},
    {"modifiersymbol", "Sk"},
    {"othersymbol", "So"},
    {"separator", "Z"},
    {"spaceseparator", "Zs"},
    {"lineseparator", "Zl"},
    {"paragraphseparator", "Zp"},
    {"other", "C"},
    {"control", "Cc"},
    {"format", "Cf"},
    {"unassigned", "Cn"},
}};

// Binary properties; other long names are scripts.
constexpr std::array<std::pair<std::string_view, std::string_view>, 17> kProperties = {{
    {"joincontrol", "Join_Control"},
    {"variationselector", "Variation_Selector"},
    {"alphabetic", "Alphabetic"},
    {"alpha", "Alphabetic"},
    {"uppercase", "Uppercase"},
    {"upper", "Uppercase"},
    {"lowercase", "Lowercase"},
    {"lower", "Lowercase"},
    {"whitespace", "White_Space"},
    {"space", "White_Space"},
    {"digit", "Nd"},
    {"emoji", "Emoji"},
    {"emojipresentation", "Emoji_Presentation"},
    {"emojimodifier", "Emoji_Modifier"},
    {"emojimodifierbase", "Emoji_Modifier_Base"},
    {"extendedpictographic", "Extended_Pictographic"},
    {"ideographic", "Ideographic"},
}};

template <typename Table>
std::optional<std::string> lookUp(const Table& table, const std::string& key) {
  const auto found = std::find_if(table.begin(), table.end(), [&](const auto& entry) { return entry.first == key; });
  return found == table.end() ? std::nullopt : std::optional(std::string(found->second));
}

}  // namespace

std::string_view wordMembers(bool inBrackets) noexcept {
  return inBrackets ? kWordInBrackets : kWord;
}

std::string_view spaceMembers() noexcept {
  return kSpace;
}

std::string_view hexMembers() noexcept {
  return kHex;
}

std::string_view posixMembers(std::string_view name) noexcept {
  const auto found = std::find_if(kPosix.begin(), kPosix.end(), [&](const Named& known) { return known.name == name; });
  return found == kPosix.end() ? std::string_view() : found->members;
}

std::optional<std::string> propertyName(const std::string& name) {
  std::string key;
  for (const char c : name) {
    if (c != '_' && c != '-' && c != ' ') {
      key += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    }
  }
  if (key.size() <= 2) {
    return name;
  }
  if (auto category = lookUp(kCategories, key)) {
    return category;
  }
  if (auto property = lookUp(kProperties, key)) {
    return property;
  }
  const bool block = key.starts_with("in");
  return block || key.find('=') != std::string::npos ? std::nullopt : std::optional(concat("sc=", name));
}

}  // namespace headscope::detail
