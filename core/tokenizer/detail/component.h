#pragma once

// What the parts of a tokenizer.json (normalizer, pre_tokenizer, post_processor, decoder) have in common.

#include <memory>
#include <string>
#include <vector>

#include "core/files/json.h"

namespace headscope::detail {

inline bool requiredBoolean(const JsonReader& reader, const char* key) {
  reader.at(key);
  return reader.booleanOr(key, false);
}

/// A string of exactly one character.
std::string oneCharacter(const JsonReader& reader, const char* key);

/// The members of a "Sequence". None of them may be null.
template <typename Component, typename Make>
std::vector<std::unique_ptr<const Component>> makeSteps(const JsonReader& reader, const char* key,
                                                        const std::string& where, Make make) {
  const Json& list = reader.at(key);
  if (!list.is_array()) {
    reader.fail(std::string("\"") + key + "\" is not a list");
  }
  std::vector<std::unique_ptr<const Component>> steps;
  for (const Json& one : list) {
    if (one.is_null()) {
      reader.fail(std::string("\"") + key + "\" has a null in it");
    }
    steps.push_back(make(one, where));
  }
  return steps;
}

}  // namespace headscope::detail
