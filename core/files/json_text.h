#pragma once

// JSON as this program writes it: numbers in their shortest form that reads back equal (independent of the locale), NaN
// and infinity as null, so that every JSON reader takes it.

#include <string>

#include "core/files/json.h"

namespace headscope {

enum class JsonLayout {
  Line,      ///< everything on one line
  Readable,  ///< indented; lists of plain values and short objects stay on one line
};

/// The text with a final newline. Text that is no UTF-8 (a token that ends in the middle of a character) gets U+FFFD.
std::string jsonText(const OrderedJson& document, JsonLayout layout = JsonLayout::Readable);

/// The shortest text that reads back as the same number; "null" for NaN and infinity.
std::string jsonNumber(double value);

}  // namespace headscope
