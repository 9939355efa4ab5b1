#pragma once

// Reads the text of a tokenizer.json. Vocabulary and merges, hundreds of thousands of entries, go straight into
// tables; as JSON values they would cost several times the time and memory.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/files/json.h"
#include "core/tokenizer/detail/word_model.h"

namespace headscope::detail {

struct TokenizerDocument {
  using Merges = std::vector<std::pair<std::string, std::string>>;

  Json tree;  ///< all the rest; model.vocab and model.merges are null in it if they were taken out
  std::optional<StringMap<std::uint32_t>> vocabulary;  ///< model.vocab, if it is an object
  std::optional<Merges> merges;                        ///< model.merges, if it is a list
};

/// As strict as parseJson(). Throws Error(where, …), also on entries that are no ids or no merges.
TokenizerDocument parseTokenizer(std::string_view text, const std::string& where);

}  // namespace headscope::detail
