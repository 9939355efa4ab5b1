#include "ui/text/token_lines.h"

#include <QFontMetrics>
#include <QHash>
#include <QRegularExpression>
#include <algorithm>

namespace headscope::ui {
namespace {

QString readable(const std::string& token) {
  QString text = QString::fromUtf8(token.data(), static_cast<qsizetype>(token.size()));
  text.replace(QStringLiteral("\r\n"), QStringLiteral("⏎"));
  text.replace(QLatin1Char('\n'), QStringLiteral("⏎"));
  text.replace(QLatin1Char('\r'), QStringLiteral("⏎"));
  text.replace(QLatin1Char('\t'), QStringLiteral("⇥ "));
  return text;
}

}  // namespace

void TokenLines::setTokens(const std::vector<std::string>& tokens, const QFont& font) {
  font_ = font;
  continuation_ = 0;
  texts_.clear();
  texts_.reserve(tokens.size());
  for (const std::string& token : tokens) {
    texts_.push_back(readable(token));
  }
  measure(0);
  breakLines();
}

void TokenLines::setContinuation(const QString& text) {
  const auto tokens = static_cast<std::size_t>(count());
  texts_.resize(tokens);
  continuation_ = 0;
  static const QRegularExpression word(QStringLiteral("\\n|[ \\t]*[^\\s]+|[ \\t]+"));
  auto words = word.globalMatch(text);
  while (words.hasNext()) {
    texts_.push_back(readable(words.next().captured().toStdString()));
    ++continuation_;
  }
  measure(tokens);
  breakLines();
}

void TokenLines::measure(std::size_t from) {
  const QFontMetrics metrics(font_);
  QHash<QString, int> known;
  widths_.resize(texts_.size());
  ends_.resize(texts_.size());
  for (std::size_t i = from; i < texts_.size(); ++i) {
    const auto found = known.constFind(texts_[i]);
    widths_[i] = found != known.constEnd() ? *found : metrics.horizontalAdvance(texts_[i]);
    if (found == known.constEnd()) {
      known.insert(texts_[i], widths_[i]);
    }
    ends_[i] = texts_[i].endsWith(QStringLiteral("⏎"));
  }
}

void TokenLines::setWidth(int width) {
  if (width != lineWidth_) {
    lineWidth_ = width;
    breakLines();
  }
}

void TokenLines::breakLines() {
  firsts_.clear();
  x_.resize(texts_.size());
  int x = 0;
  bool fresh = true;
  for (std::size_t i = 0; i < texts_.size(); ++i) {
    if (fresh || (x > 0 && x + widths_[i] > lineWidth_)) {
      firsts_.push_back(static_cast<std::int64_t>(i));
      x = 0;
    }
    x_[i] = x;
    x += widths_[i];
    fresh = ends_[i];
  }
}

std::int64_t TokenLines::end(int line) const {
  return line + 1 < lines() ? firsts_[static_cast<std::size_t>(line) + 1] : shown();
}

int TokenLines::lineOf(std::int64_t token) const {
  const auto after = std::upper_bound(firsts_.begin(), firsts_.end(), token);
  return std::max(0, static_cast<int>(after - firsts_.begin()) - 1);
}

std::optional<std::int64_t> TokenLines::at(int line, int x) const {
  if (line < 0 || line >= lines() || x < 0) {
    return std::nullopt;
  }
  const auto begin = x_.begin() + first(line), stop = x_.begin() + end(line);
  const std::int64_t token = std::upper_bound(begin, stop, x) - x_.begin() - 1;
  return token < count() && x < this->x(token) + width(token) ? std::optional(token) : std::nullopt;
}

}  // namespace headscope::ui
