#include "core/tokenizer/detail/bpe.h"

#include <algorithm>
#include <queue>

#include "core/base/error.h"
#include "core/base/text.h"
#include "core/tokenizer/detail/unicode.h"

namespace headscope::detail {
namespace {

constexpr std::size_t kLongestWord = std::size_t{1} << 30;

}  // namespace

void MergeTable::reserve(std::size_t count) {
  std::size_t size = 16;
  while (size < count * 2) {
    size *= 2;
  }
  slots_.assign(size, Slot{});
}

std::size_t MergeTable::place(std::uint64_t pair) const noexcept {
  const std::size_t mask = slots_.size() - 1;
  std::size_t at = static_cast<std::size_t>((pair * 0x9E3779B97F4A7C15u) >> 20) & mask;
  while (slots_[at].pair != kEmpty && slots_[at].pair != pair) {
    at = (at + 1) & mask;
  }
  return at;
}

void MergeTable::insert(std::uint32_t left, std::uint32_t right, Merge merge) {
  const std::uint64_t pair = std::uint64_t{left} << 32 | right;
  slots_[place(pair)] = {pair, merge};
}

const MergeTable::Merge* MergeTable::find(std::uint32_t left, std::uint32_t right) const noexcept {
  const std::uint64_t pair = std::uint64_t{left} << 32 | right;
  const Slot& slot = slots_[place(pair)];
  return slot.pair == pair ? &slot.merge : nullptr;
}

Bpe::Bpe(StringMap<std::uint32_t> vocabulary, const std::vector<std::pair<std::string, std::string>>& merges,
         BpeOptions options, std::string where)
    : vocabulary_(std::move(vocabulary), where), options_(std::move(options)), where_(std::move(where)) {
  merges_.reserve(merges.size());
  std::uint32_t rank = 0;
  const auto known = [&](const std::string& token) {
    const auto found = vocabulary_.id(token);
    if (!found) {
      throw Error(where_,
                  concat("merge ", rank, " needs token \"", token.substr(0, 80), "\", which is not in the vocabulary"));
    }
    return *found;
  };
  for (const auto& [left, right] : merges) {
    const std::uint32_t leftId = known(left);
    const std::uint32_t rightId = known(right);
    const std::size_t skipped = std::min(options_.continuingPrefix.size(), right.size());
    cutter_.addMerge(left, right);
    merges_.insert(leftId, rightId, {rank, known(left + right.substr(skipped))});
    ++rank;
  }
  if (!vocabulary_.id("\xE2\x96\x81") || !options_.continuingPrefix.empty() || !options_.wordSuffix.empty()) {
    cutter_.forbid();  // a ▁ that is unknown could join unknown neighbours; a prefix or suffix depends on the place
  }
  for (unsigned value = 0; value < 256; ++value) {
    const auto found = vocabulary_.id(byteTokenText(value));
    byteIds_[value] = found ? std::int64_t{*found} : -1;
  }
  for (std::size_t c = 0; c < characterIds_.size(); ++c) {
    std::string text;
    appendUtf8(text, static_cast<char32_t>(c));
    const auto found = vocabulary_.id(text);
    characterIds_[c] = found ? std::int64_t{*found} : -1;
  }
}

std::optional<std::uint32_t> Bpe::characterId(std::string_view word, std::size_t at, std::size_t length,
                                              std::string& buffer) const {
  const bool prefixed = at > 0 && !options_.continuingPrefix.empty();
  const bool suffixed = at + length == word.size() && !options_.wordSuffix.empty();
  if (!prefixed && !suffixed) {
    buffer.assign(word.substr(at, length));
    if (length <= 2) {
      const std::int64_t known = characterIds_[characterAt(word, at).codePoint];
      return known < 0 ? std::nullopt : std::optional(static_cast<std::uint32_t>(known));
    }
  } else {
    buffer = concat(prefixed ? options_.continuingPrefix : std::string(), word.substr(at, length),
                    suffixed ? options_.wordSuffix : std::string());
  }
  return vocabulary_.id(buffer);
}

bool Bpe::fallBack(std::string_view character, std::vector<Symbol>& symbols) const {
  for (const char byte : character) {
    if (byteIds_[static_cast<unsigned char>(byte)] < 0) {
      return false;
    }
  }
  for (const char byte : character) {
    symbols.push_back({static_cast<std::uint32_t>(byteIds_[static_cast<unsigned char>(byte)]), 1});
  }
  return true;
}

// An unknown token is put down when the next known character comes, so bytes of a character that falls back
// can precede it; that is what the library does.
void Bpe::symbolize(std::string_view word, std::vector<Symbol>& symbols) const {
  std::optional<Symbol> unknown;
  const auto flush = [&] {
    if (unknown) {
      symbols.push_back(*unknown);
      unknown.reset();
    }
  };
  std::string buffer;
  for (std::size_t at = 0; at < word.size();) {
    const auto length = static_cast<std::uint32_t>(characterAt(word, at).length);
    if (const auto known = characterId(word, at, length, buffer)) {
      flush();
      symbols.push_back({*known, length});
    } else if (!(options_.byteFallback && fallBack(buffer, symbols)) && options_.unknownToken) {
      const auto unknownId = vocabulary_.id(*options_.unknownToken);
      if (!unknownId) {
        throw Error(where_, concat("the text has a character without a token, and the unknown token \"",
                                   *options_.unknownToken, "\" is not in the vocabulary"));
      }
      if (unknown && options_.fuseUnknown) {
        unknown->length += length;
      } else {
        flush();
        unknown = Symbol{*unknownId, length};
      }
    }
    at += length;
  }
  flush();
}

void Bpe::mergeAll(std::vector<Symbol>& symbols) const {
  struct Candidate {
    std::uint32_t rank;
    std::int32_t place;
    std::uint32_t id;
    bool operator>(const Candidate& other) const noexcept {
      return rank != other.rank ? rank > other.rank : place > other.place;
    }
  };
  std::vector<Candidate> first;
  const auto count = static_cast<std::int32_t>(symbols.size());
  for (std::int32_t i = 0; i < count; ++i) {
    Symbol& symbol = symbols[static_cast<std::size_t>(i)];
    symbol.previous = i - 1;
    symbol.next = i + 1 < count ? i + 1 : -1;
    if (symbol.next >= 0) {
      if (const auto* merge = merges_.find(symbol.id, symbols[static_cast<std::size_t>(i) + 1].id)) {
        first.push_back({merge->rank, i, merge->id});
      }
    }
  }
  std::priority_queue queue(std::greater<Candidate>{}, std::move(first));
  const auto propose = [&](std::int32_t left) {
    const Symbol& a = symbols[static_cast<std::size_t>(left)];
    const Symbol& b = symbols[static_cast<std::size_t>(a.next)];
    if (const auto* merge = merges_.find(a.id, b.id)) {
      queue.push({merge->rank, left, merge->id});
    }
  };
  while (!queue.empty()) {
    const Candidate best = queue.top();
    queue.pop();
    Symbol& left = symbols[static_cast<std::size_t>(best.place)];
    if (left.length == 0 || left.next < 0) {
      continue;
    }
    Symbol& right = symbols[static_cast<std::size_t>(left.next)];
    const auto* merge = merges_.find(left.id, right.id);
    if (merge == nullptr || merge->id != best.id) {
      continue;  // one of the two has changed since
    }
    left.id = best.id;
    left.length += right.length;
    left.next = right.next;
    right.length = 0;
    if (left.next >= 0) {
      symbols[static_cast<std::size_t>(left.next)].previous = best.place;
    }
    if (left.previous >= 0) {
      propose(left.previous);
    }
    if (left.next >= 0) {
      propose(best.place);
    }
  }
}

void Bpe::encode(std::string_view word, WordCache& cache, std::vector<WordToken>& out) const {
  if (word.size() > kLongestWord) {
    throw Error(where_, concat("a word of ", word.size(), " bytes is too long"));
  }
  if (options_.ignoreMerges ||
      (options_.ignoreMergesOfLineEnds && word.find_first_not_of('\n') == std::string_view::npos)) {
    if (const auto whole = vocabulary_.id(word)) {
      out.push_back({*whole, static_cast<std::uint32_t>(word.size())});
      return;
    }
  }
  for (std::size_t at = 0; at < word.size();) {
    const std::size_t end = cutter_.end(word, at);
    encodePart(word.substr(at, end - at), cache, out);
    at = end;
  }
}

void Bpe::encodePart(std::string_view word, WordCache& cache, std::vector<WordToken>& out) const {
  if (cache.find(word, out)) {
    return;
  }
  std::vector<Symbol> symbols;
  symbols.reserve(word.size());
  symbolize(word, symbols);
  mergeAll(symbols);
  const std::size_t before = out.size();
  for (const Symbol& symbol : symbols) {
    if (symbol.length > 0) {
      out.push_back({symbol.id, symbol.length});
    }
  }
  cache.keep(word, out, before);
}

}  // namespace headscope::detail
