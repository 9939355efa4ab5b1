#pragma once

// Oniguruma's character classes in terms of PCRE2 (with UTF and UCP): what has to stand inside brackets.

#include <optional>
#include <string>
#include <string_view>

namespace headscope::detail {

/// \w as it is outside brackets, and inside them: there it leaves out ¹²³¼½¾.
std::string_view wordMembers(bool inBrackets) noexcept;
/// \s: U+180E, which PCRE2 takes for a space, is none.
std::string_view spaceMembers() noexcept;
/// \h: hexadecimal digits.
std::string_view hexMembers() noexcept;
/// [:name:]; empty if there's no such class.
std::string_view posixMembers(std::string_view name) noexcept;

/// PCRE2's name of a property; nullopt if it has none. \p{Han} is the script alone in Oniguruma, with its
/// extensions in PCRE2.
std::optional<std::string> propertyName(const std::string& name);

}  // namespace headscope::detail
