#include "core/tokenizer/detail/word_model.h"

#include <algorithm>

#include "core/base/error.h"

namespace headscope::detail {
namespace {

constexpr std::uint32_t kLargestId = 1u << 22;
constexpr std::size_t kCachedWords = 1 << 16;
constexpr std::size_t kLongestCachedWord = 128;
constexpr std::string_view kUnderline = "\xE2\x96\x81";  // ▁

}  // namespace

bool WordCache::find(std::string_view word, std::vector<WordToken>& out) const {
  const auto found = words_.find(word);
  if (found == words_.end()) {
    return false;
  }
  const auto begin = tokens_.begin() + found->second.first;
  out.insert(out.end(), begin, begin + found->second.count);
  return true;
}

void WordCache::keep(std::string_view word, const std::vector<WordToken>& out, std::size_t from) {
  if (word.size() > kLongestCachedWord || words_.size() >= kCachedWords) {
    return;
  }
  const auto first = static_cast<std::uint32_t>(tokens_.size());
  tokens_.insert(tokens_.end(), out.begin() + static_cast<std::ptrdiff_t>(from), out.end());
  words_.emplace(word, Entry{first, static_cast<std::uint32_t>(out.size() - from)});
}

Vocabulary::Vocabulary(StringMap<std::uint32_t> ids, const std::string& where) : ids_(std::move(ids)) {
  std::uint32_t largest = 0;
  for (const auto& [token, id] : ids_) {
    largest = std::max(largest, id);
  }
  if (largest > kLargestId) {
    throw Error(where, concat("token id ", largest, " is too large (at most ", kLargestId, ")"));
  }
  tokens_.assign(ids_.empty() ? 0 : largest + 1, nullptr);
  for (const auto& [token, id] : ids_) {
    const std::string*& place = tokens_[id];
    if (place == nullptr || *place < token) {  // two tokens of one id: always the same choice
      place = &token;
    }
  }
}

std::optional<std::uint32_t> Vocabulary::id(std::string_view token) const {
  const auto found = ids_.find(token);
  return found == ids_.end() ? std::nullopt : std::optional(found->second);
}

const std::string* Vocabulary::token(std::int64_t id) const noexcept {
  return id >= 0 && id < static_cast<std::int64_t>(tokens_.size()) ? tokens_[static_cast<std::size_t>(id)] : nullptr;
}

void WordCutter::addMerge(std::string_view left, std::string_view right) {
  possible_ = possible_ && (!right.starts_with(kUnderline) || left.ends_with(kUnderline));
}

void WordCutter::addToken(std::string_view token) {
  possible_ = possible_ && end(token, 0) == token.size();
}

std::size_t WordCutter::end(std::string_view word, std::size_t begin) const noexcept {
  if (!possible_) {
    return word.size();
  }
  for (std::size_t at = word.find(kUnderline, begin); at != std::string_view::npos;
       at = word.find(kUnderline, at + kUnderline.size())) {
    if (at > begin && !word.substr(begin, at - begin).ends_with(kUnderline)) {
      return at;
    }
  }
  return word.size();
}

std::string byteTokenText(unsigned value) {
  static constexpr char kDigits[] = "0123456789ABCDEF";
  return {'<', '0', 'x', kDigits[value >> 4 & 15], kDigits[value & 15], '>'};
}

}  // namespace headscope::detail
