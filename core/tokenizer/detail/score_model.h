#pragma once

// SentencePiece-like merging as llama.cpp does it with a GGUF vocabulary: of all neighbours whose joined text
// is a token, those with the highest score are joined first, the leftmost of equal ones.

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "core/tokenizer/detail/word_model.h"

namespace headscope::detail {

class ScoreModel final : public WordModel {
 public:
  /// `scores` by id. `unknown` stands for bytes without a token; none: they are left out.
  ScoreModel(StringMap<std::uint32_t> vocabulary, std::vector<float> scores, std::optional<std::uint32_t> unknown,
             const std::string& where);

  void encode(std::string_view word, WordCache& cache, std::vector<WordToken>& out) const override;
  const Vocabulary& vocabulary() const noexcept override { return vocabulary_; }

 private:
  struct Symbol {
    std::size_t begin = 0;
    std::size_t length = 0;  // bytes; 0: joined to another
    std::int64_t previous = -1;
    std::int64_t next = -1;
  };

  void encodePart(std::string_view word, WordCache& cache, std::vector<WordToken>& out) const;
  std::vector<Symbol> merge(std::string_view word) const;

  Vocabulary vocabulary_;
  WordCutter cutter_;
  std::vector<float> scores_;
  std::optional<std::uint32_t> unknown_;
  std::array<std::int64_t, 256> byteIds_{};  // −1 if absent
  std::size_t longest_ = 0;                  // token, in bytes
};

}  // namespace headscope::detail
