#pragma once

// Breaks a token sequence into lines of a given width. Widths are measured once per different token; a resize of
// 100,000 tokens is one pass of additions.

#include <QFont>
#include <QString>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace headscope::ui {

class TokenLines {
 public:
  /// Readable texts: spaces as they are, ⏎ for a line end (which also ends the line), ⇥ for tabs.
  void setTokens(const std::vector<std::string>& tokens, const QFont& font);
  void setContinuation(const QString& text);  ///< shown after the tokens, in words
  void setWidth(int width);

  std::int64_t count() const { return static_cast<std::int64_t>(texts_.size()) - continuation_; }
  std::int64_t shown() const { return static_cast<std::int64_t>(texts_.size()); }  ///< with the continuation
  const QString& text(std::int64_t token) const { return texts_[static_cast<std::size_t>(token)]; }
  int lines() const { return static_cast<int>(firsts_.size()); }
  std::int64_t first(int line) const { return firsts_[static_cast<std::size_t>(line)]; }
  std::int64_t end(int line) const;
  int lineOf(std::int64_t token) const;
  int x(std::int64_t token) const { return x_[static_cast<std::size_t>(token)]; }
  int width(std::int64_t token) const { return widths_[static_cast<std::size_t>(token)]; }
  std::optional<std::int64_t> at(int line, int x) const;

 private:
  void measure(std::size_t from);
  void breakLines();

  QFont font_;
  std::vector<QString> texts_;
  std::vector<int> widths_, x_;
  std::vector<bool> ends_;  ///< the line ends after this token
  std::vector<std::int64_t> firsts_;
  std::int64_t continuation_ = 0;
  int lineWidth_ = 400;
};

}  // namespace headscope::ui
