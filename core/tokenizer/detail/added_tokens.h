#pragma once

// Tokens that are cut out of the text before (or right after) normalization and never reach the model.

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "core/tokenizer/detail/normalizer.h"
#include "core/tokenizer/detail/segments.h"
#include "core/tokenizer/detail/word_model.h"

namespace headscope::detail {

struct AddedToken {
  std::string content;
  bool singleWord = false;
  bool leftStrip = false;
  bool rightStrip = false;
  bool normalized = false;
  bool special = false;
  bool operator==(const AddedToken&) const = default;
};

class AddedTokens {
 public:
  /// Gives `token` its id: that of the vocabulary, or else the next free one. Returns it; nullopt if the
  /// content is empty.
  std::optional<std::uint32_t> add(const AddedToken& token, const Vocabulary& model, const Normalizer* normalizer);
  /// To be called after the last add(). Of tokens that read the same once normalized, the one with the smallest
  /// id is found in texts (which one the library finds is left to chance); the others are counted.
  std::size_t finish();

  /// From now on, tokens are cut out as llama.cpp does it: longest first over the whole text, instead of the
  /// leftmost first. Call it before extract().
  void preferLongest() { longestFirst_ = true; }

  /// The whole first half of encoding: cuts, normalizes, cuts again.
  Segments extract(std::string_view input, const Normalizer* normalizer, bool parseSpecial) const;

  const AddedToken* find(std::int64_t id) const noexcept;
  /// How the token reads before decoding: normalized if it is matched so; null if it is not an added one.
  const std::string* decodable(std::int64_t id) const noexcept;
  bool isSpecial(std::string_view content) const { return special_.find(content) != special_.end(); }
  std::optional<std::uint32_t> id(std::string_view content) const;
  std::size_t idLimit() const noexcept { return idLimit_; }  ///< one more than the largest id

 private:
  /// Prefix tree over bytes.
  class Tree {
   public:
    bool insert(std::string_view content, std::uint32_t id);  ///< false if it's there already
    bool empty() const noexcept { return nodes_.size() <= 1; }
    struct Hit {
      std::size_t begin = 0;
      std::size_t end = 0;
      std::uint32_t id = 0;
    };
    /// The first, and of those the longest, token at or after `from`.
    std::optional<Hit> find(std::string_view text, std::size_t from) const;
    /// All tokens at all places, overlapping ones too.
    std::vector<Hit> findAll(std::string_view text) const;

   private:
    static constexpr std::uint32_t kNone = ~std::uint32_t{0};
    struct Node {
      std::uint32_t id = kNone;
    };
    std::vector<Node> nodes_ = {{}};
    std::unordered_map<std::uint64_t, std::uint32_t> edges_;  // node << 8 | byte → node
    std::array<bool, 256> firstBytes_{};
  };

  /// The tokens of `text` in order; without overlaps, but not yet widened by white space.
  std::vector<Tree::Hit> matches(std::string_view text, const Tree& tree, bool parseSpecial) const;
  void cut(std::string_view text, const Tree& tree, bool parseSpecial, std::vector<Piece>& pieces) const;

  StringMap<std::uint32_t> ids_;
  std::unordered_map<std::uint32_t, AddedToken> tokens_;
  std::unordered_map<std::uint32_t, std::string> normalized_;  // where it differs from the content
  std::unordered_set<std::string, StringHash, std::equal_to<>> special_;
  std::optional<std::uint32_t> nextId_;
  std::size_t idLimit_ = 0;
  bool longestFirst_ = false;
  Tree raw_;
  Tree afterNormalization_;
};

}  // namespace headscope::detail
