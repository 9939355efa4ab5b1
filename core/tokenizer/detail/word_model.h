#pragma once

// What turns one word into tokens.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace headscope::detail {

struct StringHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const noexcept { return std::hash<std::string_view>{}(text); }
};

template <typename Value>
using StringMap = std::unordered_map<std::string, Value, StringHash, std::equal_to<>>;

struct WordToken {
  std::uint32_t id = 0;
  std::uint32_t length = 0;  ///< bytes of the word
};

/// Words already encoded; belongs to one thread at a time.
class WordCache {
 public:
  /// Appends the tokens of `word` if they are known.
  bool find(std::string_view word, std::vector<WordToken>& out) const;
  /// Remembers out[from…] for `word`, if that is worth it.
  void keep(std::string_view word, const std::vector<WordToken>& out, std::size_t from);

 private:
  struct Entry {
    std::uint32_t first = 0;
    std::uint32_t count = 0;
  };
  StringMap<Entry> words_;
  std::vector<WordToken> tokens_;
};

/// Token texts and their ids.
class Vocabulary {
 public:
  /// Throws Error(where, …) if an id is absurdly large.
  Vocabulary(StringMap<std::uint32_t> ids, const std::string& where);
  Vocabulary(const Vocabulary&) = delete;  // tokens_ points into ids_
  Vocabulary& operator=(const Vocabulary&) = delete;

  std::optional<std::uint32_t> id(std::string_view token) const;
  const std::string* token(std::int64_t id) const noexcept;  ///< null if there's no such id
  std::size_t size() const noexcept { return ids_.size(); }
  std::size_t idLimit() const noexcept { return tokens_.size(); }  ///< one more than the largest id

 private:
  StringMap<std::uint32_t> ids_;
  std::vector<const std::string*> tokens_;  // by id
};

class WordModel {
 public:
  virtual ~WordModel() = default;
  /// Appends the tokens of one word (not empty, well-formed UTF-8).
  virtual void encode(std::string_view word, WordCache& cache, std::vector<WordToken>& out) const = 0;
  virtual const Vocabulary& vocabulary() const noexcept = 0;
};

/// Where a word can be cut into parts that are encoded by themselves with the same result: before a ▁ that
/// follows another character, if no merge reaches over such a place. SentencePiece-like models get whole texts
/// as one word; cut up, most parts come out of the cache.
class WordCutter {
 public:
  /// To be called for all pairs of texts that may be merged.
  void addMerge(std::string_view left, std::string_view right);
  /// The same, for any two texts that together are `token`.
  void addToken(std::string_view token);
  void forbid() noexcept { possible_ = false; }
  /// End of the part of `word` that begins at `begin`.
  std::size_t end(std::string_view word, std::size_t begin) const noexcept;

 private:
  bool possible_ = true;
};

/// "<0x0A>"
std::string byteTokenText(unsigned value);

}  // namespace headscope::detail
