#include "core/tokenizer/detail/score_model.h"

#include <algorithm>
#include <queue>

#include "core/base/error.h"
#include "core/tokenizer/detail/unicode.h"

namespace headscope::detail {

ScoreModel::ScoreModel(StringMap<std::uint32_t> vocabulary, std::vector<float> scores,
                       std::optional<std::uint32_t> unknown, const std::string& where)
    : vocabulary_(std::move(vocabulary), where), scores_(std::move(scores)), unknown_(unknown) {
  if (scores_.size() < vocabulary_.idLimit()) {
    throw Error(where, concat("there are ", scores_.size(), " token scores for ", vocabulary_.idLimit(), " tokens"));
  }
  for (std::size_t id = 0; id < vocabulary_.idLimit(); ++id) {
    const std::string* token = vocabulary_.token(static_cast<std::int64_t>(id));
    if (token != nullptr) {
      longest_ = std::max(longest_, token->size());
      cutter_.addToken(*token);
    }
  }
  for (unsigned value = 0; value < 256; ++value) {
    auto found = vocabulary_.id(byteTokenText(value));
    found = found ? found : vocabulary_.id(std::string(1, static_cast<char>(value)));
    found = found ? found : unknown_;
    byteIds_[value] = found ? std::int64_t{*found} : -1;
  }
}

std::vector<ScoreModel::Symbol> ScoreModel::merge(std::string_view word) const {
  struct Candidate {
    float score;
    std::int64_t left;
    std::size_t length;  // of both: tells whether one of them has changed since
    bool operator<(const Candidate& other) const noexcept {
      return score != other.score ? score < other.score : left > other.left;
    }
  };
  std::vector<Symbol> symbols;
  for (std::size_t at = 0; at < word.size();) {
    const auto index = static_cast<std::int64_t>(symbols.size());
    const std::size_t length = characterAt(word, at).length;
    symbols.push_back({at, length, index - 1, at + length < word.size() ? index + 1 : -1});
    at += length;
  }
  std::priority_queue<Candidate> queue;
  const auto symbol = [&](std::int64_t index) -> Symbol& { return symbols[static_cast<std::size_t>(index)]; };
  const auto propose = [&](std::int64_t left) {
    if (left < 0 || symbol(left).next < 0) {
      return;
    }
    const std::size_t length = symbol(left).length + symbol(symbol(left).next).length;
    if (length > longest_) {
      return;
    }
    if (const auto id = vocabulary_.id(word.substr(symbol(left).begin, length))) {
      queue.push({scores_[*id], left, length});
    }
  };
  for (std::size_t i = 0; i < symbols.size(); ++i) {
    propose(static_cast<std::int64_t>(i));
  }
  while (!queue.empty()) {
    const Candidate best = queue.top();
    queue.pop();
    Symbol& left = symbol(best.left);
    if (left.length == 0 || left.next < 0 || left.length + symbol(left.next).length != best.length) {
      continue;
    }
    Symbol& right = symbol(left.next);
    left.length += right.length;
    right.length = 0;
    left.next = right.next;
    if (left.next >= 0) {
      symbol(left.next).previous = best.left;
    }
    propose(left.previous);
    propose(best.left);
  }
  return symbols;
}

void ScoreModel::encode(std::string_view word, WordCache& cache, std::vector<WordToken>& out) const {
  for (std::size_t at = 0; at < word.size();) {
    const std::size_t end = cutter_.end(word, at);
    encodePart(word.substr(at, end - at), cache, out);
    at = end;
  }
}

void ScoreModel::encodePart(std::string_view word, WordCache& cache, std::vector<WordToken>& out) const {
  if (cache.find(word, out)) {
    return;
  }
  const std::size_t before = out.size();
  for (const Symbol& symbol : merge(word)) {
    if (symbol.length == 0) {
      continue;
    }
    const std::string_view text = word.substr(symbol.begin, symbol.length);
    if (const auto id = vocabulary_.id(text)) {
      out.push_back({*id, static_cast<std::uint32_t>(text.size())});
      continue;
    }
    for (const char byte : text) {
      const std::int64_t id = byteIds_[static_cast<unsigned char>(byte)];
      if (id >= 0) {
        out.push_back({static_cast<std::uint32_t>(id), 1});
      }
    }
  }
  cache.keep(word, out, before);
}

}  // namespace headscope::detail
