#pragma once

// What a Tokenizer is made of, and the two ways to get it.

#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/tokenizer/detail/added_tokens.h"
#include "core/tokenizer/detail/decoder.h"
#include "core/tokenizer/detail/normalizer.h"
#include "core/tokenizer/detail/post_processor.h"
#include "core/tokenizer/detail/pre_tokenizer.h"
#include "core/tokenizer/detail/word_model.h"
#include "core/tokenizer/tokenizer.h"

namespace headscope {

struct Tokenizer::Parts {
  std::string where;  ///< the file, for errors
  std::string kind;
  std::unique_ptr<const detail::Normalizer> normalizer;  ///< may be null, as the next ones
  std::unique_ptr<const detail::PreTokenizer> preTokenizer;
  std::unique_ptr<const detail::WordModel> model;  ///< never null
  std::unique_ptr<const detail::PostProcessor> postProcessor;
  std::unique_ptr<const detail::Decoder> decoder;  ///< null: tokens are joined with spaces
  detail::AddedTokens added;
  std::optional<std::int64_t> bos;
  std::optional<std::int64_t> eos;
  std::vector<std::string> notes;

  // Word caches that no thread uses at the moment.
  mutable std::mutex cacheMutex;
  mutable std::vector<std::unique_ptr<detail::WordCache>> caches;
};

namespace detail {

/// `text`: of a tokenizer.json. `tokenizerConfig`: the file of that name, if there is one.
std::unique_ptr<Tokenizer::Parts> makeFromJson(std::string_view text, const std::string& where,
                                               const std::optional<std::filesystem::path>& tokenizerConfig);
std::unique_ptr<Tokenizer::Parts> makeFromGguf(GgufVocabulary vocabulary);

}  // namespace detail
}  // namespace headscope
