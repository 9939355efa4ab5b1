#pragma once

// The part of YAML that mask files use: block and flow maps and lists, plain and quoted scalars, comments. Anchors,
// tags, block scalars and several documents are refused. Every scalar comes as a text.

#include <string>
#include <string_view>

#include "core/files/json.h"

namespace headscope::masks {

/// Maps become objects, lists arrays, scalars strings, nothing null. Throws Error naming `where` and the line.
Json parseYaml(std::string_view text, const std::string& where);

/// A scalar as YAML: plain where that is safe, else in double quotes.
std::string yamlScalar(const std::string& text);

}  // namespace headscope::masks
