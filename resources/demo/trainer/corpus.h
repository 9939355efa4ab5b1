#pragma once

// The training data as token ids, and batches drawn from them.

#include <cstdint>
#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "core/tokenizer/tokenizer.h"

namespace headscope::demo {

/// Tokenizes `text` with `threads` threads, cut at blank lines; no begin token.
std::vector<std::uint16_t> tokenize(const Tokenizer& tokenizer, const std::string& text, unsigned threads);

/// Rows of a batch: <|begin|> followed by a window of stories, of grammar passages, or of random ids that repeat
/// (nothing but copying predicts the second half of those).
class Sampler {
 public:
  struct Shares {
    double grammar = 0.30;
    double repeats = 0.08;
  };
  Sampler(std::vector<std::uint16_t> stories, std::vector<std::uint16_t> grammar, std::int64_t vocabulary,
          Shares shares, std::uint64_t seed);

  /// [rows, length + 1] ids: inputs are columns 0 … length−1, targets columns 1 … length.
  std::vector<std::int64_t> batch(std::int64_t rows, std::int64_t length);

 private:
  void window(const std::vector<std::uint16_t>& from, std::int64_t* row, std::int64_t count);
  void repeats(std::int64_t* row, std::int64_t count);

  std::vector<std::uint16_t> stories_, grammar_;
  std::int64_t vocabulary_;
  Shares shares_;
  std::mt19937_64 random_;
};

}  // namespace headscope::demo
