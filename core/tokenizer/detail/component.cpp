#include "core/tokenizer/detail/component.h"

#include "core/base/error.h"
#include "core/tokenizer/detail/unicode.h"

namespace headscope::detail {

std::string oneCharacter(const JsonReader& reader, const char* key) {
  std::string text = reader.string(key);
  if (text.empty() || characterAt(text, 0).length != text.size()) {
    reader.fail(concat("\"", key, "\" is not one character"));
  }
  return text;
}

}  // namespace headscope::detail
