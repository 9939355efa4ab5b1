#pragma once

// Learns a byte-level BPE vocabulary (Sennrich et al. 2016; bytes as symbols as in GPT-2) and writes it as
// tokenizer.json.

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace headscope::demo {

/// The pattern that cuts text into words before merging; it goes into tokenizer.json as it is.
extern const char* const kSplitPattern;

struct BpeVocabulary {
  std::vector<std::string> tokens;                          ///< in the byte-level alphabet; index = id
  std::vector<std::pair<std::string, std::string>> merges;  ///< by rank
};

/// Ids 0 and 1 are the special tokens <|begin|> and <|pad|>, then 256 bytes, then merges up to `size`.
BpeVocabulary trainBpe(const std::vector<std::string_view>& texts, std::size_t size);

void writeTokenizer(const BpeVocabulary& vocabulary, const std::filesystem::path& path);

}  // namespace headscope::demo
