#pragma once

// Patterns as tokenizer.json names them: a literal text or a regular expression.

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace headscope::detail {

/// Part of a text, and whether the pattern matched it.
struct Match {
  std::size_t begin = 0;
  std::size_t end = 0;
  bool matched = false;
};

/// Immutable; may be used by several threads at once.
class Pattern {
 public:
  /// `where` names the file in errors.
  static Pattern literal(std::string text, std::string where);
  static Pattern regex(std::string_view oniguruma, std::string where);

  /// Parts that cover `text` (well-formed UTF-8) in order, without the empty ones between matches; matches
  /// may be empty. Throws Error if the engine gives up.
  void find(std::string_view text, std::vector<Match>& parts) const;

 private:
  struct Code;

  std::string literal_;
  std::shared_ptr<const Code> code_;  // null: literal
  std::string where_;
};

}  // namespace headscope::detail
