#pragma once

// The text on its way through the tokenizer, with the place in the input that every byte of it comes from.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/tokenizer/detail/regex.h"
#include "core/tokenizer/detail/unicode.h"

namespace headscope::detail {

/// Bytes of the input.
struct Span {
  std::uint32_t begin = 0;
  std::uint32_t end = 0;
};

/// A changed text and, for each of its bytes, the input characters that it stands for.
struct AlignedText {
  std::string text;
  std::vector<Span> spans;

  void append(std::string_view more, Span span) {
    text.append(more);
    spans.insert(spans.end(), more.size(), span);
  }
  void append(char32_t c, Span span);

  /// Applies the edits to the whole text, whose first `removed` characters vanish. The bookkeeping is by
  /// count, as in the library: an old character is used up by each step that doesn't add one.
  void apply(const std::vector<Edit>& edits, std::size_t removed = 0);
};

/// Part of the text: either still to be cut up, or an added token.
struct Piece {
  std::size_t begin = 0;
  std::size_t end = 0;
  std::int64_t token = -1;  ///< id of the added token, −1 if it's text
};

/// What Split does with the matches; see `tokenizers.pre_tokenizers.Split`.
enum class SplitBehavior { Removed, Isolated, MergedWithPrevious, MergedWithNext, Contiguous };

struct Segments {
  AlignedText all;
  std::vector<Piece> pieces;  ///< in order; never empty ones

  std::string_view text(const Piece& piece) const {
    return std::string_view(all.text).substr(piece.begin, piece.end - piece.begin);
  }

  using Finder = std::function<void(std::string_view, std::vector<Match>&)>;
  /// Cuts every text piece where `find` says so.
  void split(const Finder& find, SplitBehavior behavior);
  /// The same for a property of single characters.
  void split(bool (*isMatch)(char32_t) noexcept, SplitBehavior behavior);

  using Rewriter = std::function<void(std::string_view text, const Span* spans, AlignedText& out)>;
  /// Replaces the text of every text piece by what `rewrite` appends to `out`.
  void rewrite(const Rewriter& rewrite);
};

}  // namespace headscope::detail
