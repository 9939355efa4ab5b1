#include "core/tokenizer/detail/segments.h"

#include <algorithm>

#include "core/base/text.h"

namespace headscope::detail {
namespace {

// Merges neighbours: a match joins the part before it (or, read backwards, after it) unless that is a match too.
void mergeMatches(std::vector<Match>& parts, bool withNext) {
  if (withNext) {
    std::reverse(parts.begin(), parts.end());
  }
  std::vector<Match> merged;
  bool previous = false;
  for (const Match& part : parts) {
    if (part.matched && !previous && !merged.empty()) {
      Match& last = merged.back();
      (withNext ? last.begin : last.end) = withNext ? part.begin : part.end;
    } else {
      merged.push_back(part);
    }
    previous = part.matched;
  }
  if (withNext) {
    std::reverse(merged.begin(), merged.end());
  }
  parts = std::move(merged);
}

void joinRuns(std::vector<Match>& parts) {
  std::vector<Match> joined;
  bool previous = false;
  for (const Match& part : parts) {
    if (part.matched == previous && !joined.empty()) {
      joined.back().end = part.end;
    } else {
      joined.push_back(part);
    }
    previous = part.matched;
  }
  parts = std::move(joined);
}

void arrange(std::vector<Match>& parts, SplitBehavior behavior) {
  switch (behavior) {
    case SplitBehavior::Isolated:
      break;
    case SplitBehavior::Removed:
      std::erase_if(parts, [](const Match& part) { return part.matched; });
      break;
    case SplitBehavior::MergedWithPrevious:
      mergeMatches(parts, false);
      break;
    case SplitBehavior::MergedWithNext:
      mergeMatches(parts, true);
      break;
    case SplitBehavior::Contiguous:
      joinRuns(parts);
      break;
  }
}

void findCharacters(std::string_view text, bool (*isMatch)(char32_t) noexcept, std::vector<Match>& parts) {
  parts.clear();
  std::size_t done = 0;
  for (std::size_t at = 0; at < text.size();) {
    const Character one = characterAt(text, at);
    if (isMatch(one.codePoint)) {
      if (done < at) {
        parts.push_back({done, at, false});
      }
      done = at + one.length;
      parts.push_back({at, done, true});
    }
    at += one.length;
  }
  if (done < text.size()) {
    parts.push_back({done, text.size(), false});
  }
}

}  // namespace

void AlignedText::append(char32_t c, Span span) {
  const std::size_t before = text.size();
  appendUtf8(text, c);
  spans.insert(spans.end(), text.size() - before, span);
}

void AlignedText::apply(const std::vector<Edit>& edits, std::size_t removed) {
  const AlignedText old = std::move(*this);
  text.clear();
  spans.clear();
  text.reserve(old.text.size());
  spans.reserve(old.text.size());
  std::size_t at = 0;
  const auto skip = [&](std::size_t characters) {
    for (; characters > 0 && at < old.text.size(); --characters) {
      at += characterAt(old.text, at).length;
    }
  };
  skip(removed);
  for (const Edit& edit : edits) {
    // A new character shares the place of the one before it.
    const std::size_t from = edit.change > 0 ? at - std::min<std::size_t>(at, 1) : at;
    const Span span = old.spans.empty() ? Span{} : old.spans[std::min(from, old.spans.size() - 1)];
    append(edit.codePoint, span);
    if (edit.change <= 0) {
      skip(1 + static_cast<std::size_t>(-edit.change));
    }
  }
}

void Segments::split(const Finder& find, SplitBehavior behavior) {
  std::vector<Piece> result;
  result.reserve(pieces.size());
  std::vector<Match> parts;
  for (const Piece& piece : pieces) {
    if (piece.token >= 0) {
      result.push_back(piece);
      continue;
    }
    find(text(piece), parts);
    arrange(parts, behavior);
    for (const Match& part : parts) {
      if (part.begin < part.end) {
        result.push_back({piece.begin + part.begin, piece.begin + part.end, -1});
      }
    }
  }
  pieces = std::move(result);
}

void Segments::split(bool (*isMatch)(char32_t) noexcept, SplitBehavior behavior) {
  split([isMatch](std::string_view piece, std::vector<Match>& parts) { findCharacters(piece, isMatch, parts); },
        behavior);
}

void Segments::rewrite(const Rewriter& rewrite) {
  AlignedText result;
  result.text.reserve(all.text.size());
  result.spans.reserve(all.text.size());
  std::vector<Piece> kept;
  kept.reserve(pieces.size());
  for (const Piece& piece : pieces) {
    const std::size_t begin = result.text.size();
    const Span* spans = all.spans.data() + piece.begin;
    if (piece.token >= 0) {
      result.text.append(text(piece));
      result.spans.insert(result.spans.end(), spans, spans + (piece.end - piece.begin));
    } else {
      rewrite(text(piece), spans, result);
    }
    if (piece.token >= 0 || result.text.size() > begin) {
      kept.push_back({begin, result.text.size(), piece.token});
    }
  }
  all = std::move(result);
  pieces = std::move(kept);
}

}  // namespace headscope::detail
