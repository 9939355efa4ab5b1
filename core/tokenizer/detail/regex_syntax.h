#pragma once

// Translates a regular expression of Oniguruma (the engine of the tokenizers library) to PCRE2 with UTF and
// UCP. The same text can mean different things in the two.

#include <string>
#include <string_view>

namespace headscope::detail {

/// Throws Error(where, …) on constructs that have no counterpart, naming them.
std::string toPcre2(std::string_view pattern, const std::string& where);

}  // namespace headscope::detail
