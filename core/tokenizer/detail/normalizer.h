#pragma once

// The "normalizer" of a tokenizer.json: steps that change the text before it is cut up.

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/files/json.h"
#include "core/tokenizer/detail/regex.h"
#include "core/tokenizer/detail/segments.h"

namespace headscope::detail {

class Normalizer {
 public:
  virtual ~Normalizer() = default;
  virtual void apply(AlignedText& text) const = 0;
  std::string apply(std::string_view text) const;
};

/// Null if `config` is null. Throws Error on unknown types, naming them.
std::unique_ptr<const Normalizer> makeNormalizer(const Json& config, const std::string& where);

/// {"String": …} or {"Regex": …}, as Replace and Split have it.
Pattern readPattern(const JsonReader& reader, const char* key);

}  // namespace headscope::detail
