#pragma once

// What a model is run on: --text, --text-file or --ids-file, and --bos.

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "core/tokenizer/tokenizer.h"

namespace headscope::cli {

struct InputOptions {
  std::optional<std::string> text;
  std::string textFile, idsFile;
  std::string bos = "auto";

  bool any() const noexcept { return text || !textFile.empty() || !idsFile.empty(); }
  Bos bosRule() const;
};
void addInput(CLI::App& command, InputOptions& input);
void addIdsFile(CLI::App& command, std::string& file);

/// A text as the model sees it.
struct TokenizedInput {
  std::vector<std::int64_t> ids;
  std::vector<std::string> tokens;  ///< text of each; empty without a tokenizer
  std::string text;                 ///< empty without a tokenizer
};

/// Reads and tokenizes. `tokenizer` may be null: then only --ids-file works. Throws Error naming the file; of kind
/// Usage if no input was given.
TokenizedInput readInput(const InputOptions& input, const Tokenizer* tokenizer, const std::string& model);
/// --text or --text-file, well-formed UTF-8.
std::string readText(const InputOptions& input);
/// A JSON list of integers.
std::vector<std::int64_t> readIds(const std::string& file);

/// Tokenizes a text that is already there (a document of a corpus).
TokenizedInput tokenizeText(const std::string& text, Bos bos, const Tokenizer* tokenizer, const std::string& model);

}  // namespace headscope::cli
