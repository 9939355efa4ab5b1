#pragma once

// Byte pair encoding as the tokenizers library does it. The symbols of a word are its characters; the pair
// with the lowest rank is merged first, the leftmost of equal ones, in O(n log n).

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/tokenizer/detail/word_model.h"

namespace headscope::detail {

/// (left id, right id) → what they merge into, in an open hash table.
class MergeTable {
 public:
  struct Merge {
    std::uint32_t rank = 0;
    std::uint32_t id = 0;
  };

  void reserve(std::size_t count);
  void insert(std::uint32_t left, std::uint32_t right, Merge merge);  ///< a later one replaces an earlier
  const Merge* find(std::uint32_t left, std::uint32_t right) const noexcept;

 private:
  struct Slot {
    std::uint64_t pair = kEmpty;
    Merge merge;
  };
  static constexpr std::uint64_t kEmpty = ~std::uint64_t{0};

  std::size_t place(std::uint64_t pair) const noexcept;

  std::vector<Slot> slots_;
};

struct BpeOptions {
  std::optional<std::string> unknownToken;
  std::string continuingPrefix;
  std::string wordSuffix;
  bool fuseUnknown = false;
  bool byteFallback = false;
  bool ignoreMerges = false;            ///< a word that is a token is that token
  bool ignoreMergesOfLineEnds = false;  ///< the same, for words of nothing but line ends
};

class Bpe final : public WordModel {
 public:
  /// Throws Error(where, …) if a merge names a token that isn't there.
  Bpe(StringMap<std::uint32_t> vocabulary, const std::vector<std::pair<std::string, std::string>>& merges,
      BpeOptions options, std::string where);

  void encode(std::string_view word, WordCache& cache, std::vector<WordToken>& out) const override;
  const Vocabulary& vocabulary() const noexcept override { return vocabulary_; }
  const BpeOptions& options() const noexcept { return options_; }

 private:
  struct Symbol {
    std::uint32_t id = 0;
    std::uint32_t length = 0;  // 0: merged into another
    std::int32_t previous = -1;
    std::int32_t next = -1;
  };

  void encodePart(std::string_view word, WordCache& cache, std::vector<WordToken>& out) const;
  void symbolize(std::string_view word, std::vector<Symbol>& symbols) const;
  void mergeAll(std::vector<Symbol>& symbols) const;
  std::optional<std::uint32_t> characterId(std::string_view word, std::size_t at, std::size_t length,
                                           std::string& buffer) const;
  bool fallBack(std::string_view character, std::vector<Symbol>& symbols) const;

  Vocabulary vocabulary_;
  MergeTable merges_;
  WordCutter cutter_;
  BpeOptions options_;
  std::string where_;
  std::array<std::int64_t, 256> byteIds_{};         // of <0xNN>, −1 if absent
  std::array<std::int64_t, 0x800> characterIds_{};  // of the first code points, −1 if absent
};

}  // namespace headscope::detail
