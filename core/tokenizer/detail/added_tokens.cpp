#include "core/tokenizer/detail/added_tokens.h"

#include <algorithm>

#include "core/tokenizer/detail/regex.h"

namespace headscope::detail {
namespace {

// \w of Rust's regex crate.
bool isWordCharacter(std::string_view character) {
  static const Pattern word = Pattern::regex(R"(\A[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}])", "added token");
  std::vector<Match> parts;
  word.find(character, parts);
  return !parts.empty() && parts[0].matched;
}

bool endsWithWord(std::string_view text) {
  return !text.empty() && isWordCharacter(text.substr(previousCharacter(text, text.size())));
}

bool startsWithWord(std::string_view text) {
  return !text.empty() && isWordCharacter(text.substr(0, characterAt(text, 0).length));
}

std::size_t spaceBefore(std::string_view text, std::size_t end, std::size_t limit) {
  while (end > limit) {
    const std::size_t at = previousCharacter(text, end);
    if (!isWhiteSpace(characterAt(text, at).codePoint)) {
      break;
    }
    end = at;
  }
  return std::max(end, limit);
}

std::size_t spaceAfter(std::string_view text, std::size_t begin) {
  while (begin < text.size()) {
    const Character one = characterAt(text, begin);
    if (!isWhiteSpace(one.codePoint)) {
      break;
    }
    begin += one.length;
  }
  return begin;
}

}  // namespace

bool AddedTokens::Tree::insert(std::string_view content, std::uint32_t id) {
  std::uint32_t node = 0;
  firstBytes_[static_cast<unsigned char>(content[0])] = true;
  for (const char byte : content) {
    const std::uint64_t edge = std::uint64_t{node} << 8 | static_cast<unsigned char>(byte);
    const auto [found, isNew] = edges_.emplace(edge, static_cast<std::uint32_t>(nodes_.size()));
    if (isNew) {
      nodes_.emplace_back();
    }
    node = found->second;
  }
  if (nodes_[node].id != kNone) {
    return false;
  }
  nodes_[node].id = id;
  return true;
}

std::optional<AddedTokens::Tree::Hit> AddedTokens::Tree::find(std::string_view text, std::size_t from) const {
  for (std::size_t begin = from; begin < text.size(); ++begin) {
    if (!firstBytes_[static_cast<unsigned char>(text[begin])]) {
      continue;
    }
    std::optional<Hit> longest;
    std::uint32_t node = 0;
    for (std::size_t at = begin; at < text.size(); ++at) {
      const auto edge = edges_.find(std::uint64_t{node} << 8 | static_cast<unsigned char>(text[at]));
      if (edge == edges_.end()) {
        break;
      }
      node = edge->second;
      if (nodes_[node].id != kNone) {
        longest = Hit{begin, at + 1, nodes_[node].id};
      }
    }
    if (longest) {
      return longest;
    }
  }
  return std::nullopt;
}

std::vector<AddedTokens::Tree::Hit> AddedTokens::Tree::findAll(std::string_view text) const {
  std::vector<Hit> hits;
  for (std::size_t begin = 0; begin < text.size(); ++begin) {
    if (!firstBytes_[static_cast<unsigned char>(text[begin])]) {
      continue;
    }
    std::uint32_t node = 0;
    for (std::size_t at = begin; at < text.size(); ++at) {
      const auto edge = edges_.find(std::uint64_t{node} << 8 | static_cast<unsigned char>(text[at]));
      if (edge == edges_.end()) {
        break;
      }
      node = edge->second;
      if (nodes_[node].id != kNone) {
        hits.push_back({begin, at + 1, nodes_[node].id});
      }
    }
  }
  return hits;
}

std::optional<std::uint32_t> AddedTokens::add(const AddedToken& token, const Vocabulary& model,
                                              const Normalizer* normalizer) {
  if (token.content.empty()) {
    return std::nullopt;
  }
  if (!nextId_) {
    nextId_ = static_cast<std::uint32_t>(model.size());
  }
  const auto known = id(token.content);
  const auto inModel = known ? known : model.id(token.content);
  const std::uint32_t newId = inModel ? *inModel : (*nextId_)++;
  if (token.normalized && normalizer != nullptr) {
    std::string text = normalizer->apply(token.content);
    if (text != token.content) {
      normalized_[newId] = std::move(text);
    }
  }
  ids_[token.content] = newId;
  if (token.special) {
    special_.insert(token.content);
  }
  tokens_[newId] = token;
  idLimit_ = std::max(idLimit_, std::size_t{newId} + 1);
  return newId;
}

std::size_t AddedTokens::finish() {
  std::vector<std::uint32_t> inOrder;
  inOrder.reserve(tokens_.size());
  for (const auto& [id, token] : tokens_) {
    inOrder.push_back(id);
  }
  std::sort(inOrder.begin(), inOrder.end());
  std::size_t hidden = 0;
  for (const std::uint32_t id : inOrder) {
    const AddedToken& token = tokens_.at(id);
    const std::string* text = token.normalized ? decodable(id) : &token.content;
    const bool found = !text->empty() && (token.normalized ? afterNormalization_ : raw_).insert(*text, id);
    hidden += found ? 0 : 1;
  }
  return hidden;
}

std::vector<AddedTokens::Tree::Hit> AddedTokens::matches(std::string_view text, const Tree& tree,
                                                         bool parseSpecial) const {
  std::vector<Tree::Hit> result;
  if (tree.empty()) {
    return result;
  }
  const auto isText = [&](const Tree::Hit& hit) { return !parseSpecial && isSpecial(tokens_.at(hit.id).content); };
  if (!longestFirst_) {
    // A special token that is text still hides the ones that it overlaps.
    for (auto hit = tree.find(text, 0); hit; hit = tree.find(text, hit->end)) {
      if (!isText(*hit)) {
        result.push_back(*hit);
      }
    }
    return result;
  }
  std::vector<Tree::Hit> all = tree.findAll(text);
  std::erase_if(all, isText);
  std::stable_sort(all.begin(), all.end(),
                   [](const Tree::Hit& a, const Tree::Hit& b) { return a.end - a.begin > b.end - b.begin; });
  std::vector<bool> taken(text.size());
  for (const Tree::Hit& hit : all) {
    const auto begin = taken.begin() + static_cast<std::ptrdiff_t>(hit.begin);
    const auto end = taken.begin() + static_cast<std::ptrdiff_t>(hit.end);
    if (std::find(begin, end, true) == end) {
      std::fill(begin, end, true);
      result.push_back(hit);
    }
  }
  std::sort(result.begin(), result.end(), [](const Tree::Hit& a, const Tree::Hit& b) { return a.begin < b.begin; });
  return result;
}

void AddedTokens::cut(std::string_view text, const Tree& tree, bool parseSpecial, std::vector<Piece>& pieces) const {
  std::size_t done = 0;
  for (const Tree::Hit& hit : matches(text, tree, parseSpecial)) {
    const AddedToken& token = tokens_.at(hit.id);
    if (token.singleWord && (endsWithWord(text.substr(0, hit.begin)) || startsWithWord(text.substr(hit.end)))) {
      continue;
    }
    // White space that an earlier token swallowed can be the start of this one; then the two overlap.
    const std::size_t begin = token.leftStrip ? spaceBefore(text, hit.begin, done) : hit.begin;
    const std::size_t end = token.rightStrip ? spaceAfter(text, hit.end) : hit.end;
    if (done < begin) {
      pieces.push_back({done, begin, -1});
    }
    if (begin < end) {
      pieces.push_back({begin, end, std::int64_t{hit.id}});
    }
    done = end;
  }
  if (done < text.size()) {
    pieces.push_back({done, text.size(), -1});
  }
}

Segments AddedTokens::extract(std::string_view input, const Normalizer* normalizer, bool parseSpecial) const {
  std::vector<Piece> rawPieces;
  cut(input, raw_, parseSpecial, rawPieces);
  Segments result;
  result.all.text.reserve(input.size());
  result.all.spans.reserve(input.size());
  std::vector<Piece> inner;
  for (const Piece& piece : rawPieces) {
    AlignedText part;
    part.text = input.substr(piece.begin, piece.end - piece.begin);
    part.spans.resize(part.text.size());
    for (std::size_t at = 0; at < part.text.size();) {
      const std::size_t length = characterAt(part.text, at).length;
      const auto begin = static_cast<std::uint32_t>(piece.begin + at);
      std::fill_n(part.spans.begin() + static_cast<std::ptrdiff_t>(at), length,
                  Span{begin, begin + static_cast<std::uint32_t>(length)});
      at += length;
    }
    inner.clear();
    if (piece.token >= 0) {
      inner.push_back({0, part.text.size(), piece.token});
    } else {
      if (normalizer != nullptr) {
        normalizer->apply(part);
      }
      cut(part.text, afterNormalization_, parseSpecial, inner);
    }
    const std::size_t shift = result.all.text.size();
    for (const Piece& one : inner) {
      result.pieces.push_back({one.begin + shift, one.end + shift, one.token});
    }
    result.all.text += part.text;
    result.all.spans.insert(result.all.spans.end(), part.spans.begin(), part.spans.end());
  }
  return result;
}

const AddedToken* AddedTokens::find(std::int64_t id) const noexcept {
  if (id < 0 || id >= static_cast<std::int64_t>(idLimit_)) {
    return nullptr;
  }
  const auto found = tokens_.find(static_cast<std::uint32_t>(id));
  return found == tokens_.end() ? nullptr : &found->second;
}

const std::string* AddedTokens::decodable(std::int64_t id) const noexcept {
  const AddedToken* token = find(id);
  if (token == nullptr) {
    return nullptr;
  }
  const auto found = normalized_.find(static_cast<std::uint32_t>(id));
  return found == normalized_.end() ? &token->content : &found->second;
}

std::optional<std::uint32_t> AddedTokens::id(std::string_view content) const {
  const auto found = ids_.find(content);
  return found == ids_.end() ? std::nullopt : std::optional(found->second);
}

}  // namespace headscope::detail
