#include "core/tokenizer/detail/regex_syntax.h"

#include <algorithm>
#include <cctype>
#include <optional>
#include <vector>

#include "core/base/error.h"
#include "core/tokenizer/detail/regex_classes.h"
#include "core/tokenizer/detail/unicode.h"

namespace headscope::detail {
namespace {

class Translator {
 public:
  Translator(std::string_view pattern, const std::string& where) : in_(pattern), where_(where) {}

  std::string run() {
    while (at_ < in_.size()) {
      const char c = in_[at_];
      if (c == '\\') {
        atom_ = out_.size();
        escape();
      } else if (c == '[') {
        atom_ = out_.size();
        ++at_;
        out_ += bracket();
      } else if (c == '(') {
        open();
      } else if (c == ')') {
        close();
      } else if (c == '{' && interval()) {
        continue;
      } else if (c == '*' || c == '+' || c == '?' || c == '|') {
        out_ += c;
        ++at_;
      } else {
        atom_ = out_.size();
        copyCharacter();
      }
    }
    if (groups_.size() > 1) {
      fail("missing close parenthesis");
    }
    out_.append(groups_.back().pending, ')');
    return std::move(out_);
  }

 private:
  [[noreturn]] void fail(const std::string& problem) const {
    throw Error(where_, concat("regular expression ", std::string(in_.substr(0, 120)), ": ", problem));
  }

  void copyCharacter() {
    const std::size_t length = std::min(characterAt(in_, at_).length, in_.size() - at_);
    out_ += in_.substr(at_, length);
    at_ += length;
  }

  char peek(std::size_t ahead = 0) const { return at_ + ahead < in_.size() ? in_[at_ + ahead] : '\0'; }

  // Groups. (?m) is "dot matches newline" in Oniguruma, PCRE2's (?s).
  void open() {
    groups_.push_back({out_.size(), 0});
    atom_ = out_.size();
    if (peek(1) != '?') {
      out_ += '(';
      ++at_;
      return;
    }
    if (peek(2) == '~') {
      fail("the absence operator (?~…) is not supported");
    }
    if (peek(2) == '#') {
      skipComment();
      return;
    }
    std::size_t end = at_ + 2;
    while (end < in_.size() && (std::isalpha(static_cast<unsigned char>(in_[end])) != 0 || in_[end] == '-')) {
      ++end;
    }
    const bool options = end > at_ + 2 && end < in_.size() && (in_[end] == ':' || in_[end] == ')');
    if (!options) {
      out_ += "(?";
      at_ += 2;
      return;
    }
    out_ += "(?";
    for (const char c : in_.substr(at_ + 2, end - at_ - 2)) {
      if (c != 'i' && c != 'm' && c != 'x' && c != '-') {
        fail(concat("option (?", c, ") is not supported"));
      }
      extended_ = extended_ || c == 'x';
      out_ += c == 'm' ? 's' : c;
    }
    at_ = end;
    if (extended_) {
      fail("extended syntax (?x) is not supported");
    }
    out_ += ':';
    ++at_;
    if (in_[end] == ')') {  // (?i) holds, as one group, up to the end of the enclosing group
      groups_.pop_back();
      ++groups_.back().pending;
    }
  }

  void skipComment() {
    const std::size_t end = in_.find(')', at_);
    if (end == std::string_view::npos) {
      fail("comment without end");
    }
    at_ = end + 1;
    groups_.pop_back();
  }

  void close() {
    if (groups_.size() == 1) {
      fail("unmatched close parenthesis");
    }
    atom_ = groups_.back().begin;
    out_.append(groups_.back().pending, ')');
    groups_.pop_back();
    out_ += ')';
    ++at_;
  }

  // {n}, {n,}, {,m}, {n,m}; a following + is no possessive sign but another repetition. False: a literal brace.
  bool interval() {
    std::size_t at = at_ + 1;
    const auto digits = [&] {
      const std::size_t start = at;
      while (at < in_.size() && std::isdigit(static_cast<unsigned char>(in_[at])) != 0) {
        ++at;
      }
      return in_.substr(start, at - start);
    };
    const std::string_view low = digits();
    std::optional<std::string_view> high;
    if (at < in_.size() && in_[at] == ',') {
      ++at;
      high = digits();
    }
    if (at >= in_.size() || in_[at] != '}' || (low.empty() && (!high || high->empty()))) {
      return false;
    }
    ++at;
    std::string text = concat('{', low.empty() ? std::string_view("0") : low);
    if (high) {
      text += concat(',', *high);
    }
    text += '}';
    const bool repeated = at < in_.size() && in_[at] == '+';
    if (repeated) {
      out_.insert(atom_, "(?:");
      text += ")";
    }
    out_ += text;
    at_ = at;
    return true;
  }

  // One escape outside brackets.
  void escape() {
    const char kind = peek(1);
    switch (kind) {
      case 'w':
      case 's':
      case 'h':
        out_ += concat("[", members(kind, false), "]");
        at_ += 2;
        return;
      case 'W':
      case 'S':
      case 'H':
        out_ += concat("[^", members(static_cast<char>(kind - 'A' + 'a'), false), "]");
        at_ += 2;
        return;
      case 'b':
        out_ += concat("(?:", wordBehind('='), wordAhead('!'), "|", wordBehind('!'), wordAhead('='), ")");
        at_ += 2;
        return;
      case 'B':
        out_ += concat("(?:", wordBehind('='), wordAhead('='), "|", wordBehind('!'), wordAhead('!'), ")");
        at_ += 2;
        return;
      case 'O':
        out_ += "(?s:.)";
        at_ += 2;
        return;
      case 'p':
      case 'P':
        out_ += property();
        return;
      case 'M':
      case 'C':
        fail(concat("escape \\", kind, " is not supported"));
      default:
        out_ += plainEscape();
    }
  }

  static std::string_view members(char kind, bool inBrackets) {
    return kind == 'w' ? wordMembers(inBrackets) : kind == 's' ? spaceMembers() : hexMembers();
  }
  static std::string wordBehind(char sign) { return concat("(?<", sign, "[", wordMembers(false), "])"); }
  static std::string wordAhead(char sign) { return concat("(?", sign, "[", wordMembers(false), "])"); }

  // \uHHHH, \v and everything that is the same in both, at the backslash.
  std::string plainEscape() {
    if (at_ + 1 >= in_.size()) {
      fail("ends with a backslash");
    }
    const char kind = in_[at_ + 1];
    if (kind == 'u') {
      const std::string_view digits = in_.substr(at_ + 2, 4);
      if (digits.size() != 4 || digits.find_first_not_of("0123456789abcdefABCDEF") != std::string_view::npos) {
        fail("\\u needs four hexadecimal digits");
      }
      at_ += 6;
      return concat("\\x{", digits, "}");
    }
    if (kind == 'v') {
      at_ += 2;
      return "\\x0B";
    }
    if (kind == 'x' && peek(2) == '{') {
      const std::size_t end = in_.find('}', at_);
      if (end == std::string_view::npos) {
        fail("\\x{ without end");
      }
      std::string text(in_.substr(at_, end + 1 - at_));
      at_ = end + 1;
      return text;
    }
    const std::size_t length = std::min(characterAt(in_, at_ + 1).length + 1, in_.size() - at_);
    std::string text(in_.substr(at_, length));
    at_ += length;
    return text;
  }

  // \p{…} or \P{…} in a form that is valid in and outside brackets.
  std::string property() {
    const char kind = in_[at_ + 1];
    if (peek(2) != '{') {
      fail(concat("\\", kind, " needs a name in braces"));
    }
    const std::size_t end = in_.find('}', at_);
    if (end == std::string_view::npos) {
      fail(concat("\\", kind, "{ without end"));
    }
    std::string name(in_.substr(at_ + 3, end - at_ - 3));
    at_ = end + 1;
    bool negated = kind == 'P';
    if (!name.empty() && name[0] == '^') {
      negated = !negated;
      name.erase(0, 1);
    }
    const auto known = propertyName(name);
    if (!known) {
      fail(concat("property ", name, " is not supported"));
    }
    return concat(negated ? "\\P{" : "\\p{", *known, "}");
  }

  // A set of characters as an expression that matches one of them: members for one pair of brackets, and
  // whole expressions (negated inner brackets, intersections).
  struct Set {
    std::string members;
    std::vector<std::string> others;
  };

  static std::string expression(const Set& set) {
    std::string text = set.members.empty() ? std::string() : concat("[", set.members, "]");
    if (set.others.empty()) {
      return text.empty() ? "(?!)" : text;
    }
    if (text.empty() && set.others.size() == 1) {
      return set.others[0];
    }
    for (const std::string& other : set.others) {
      text += (text.empty() ? "" : "|") + other;
    }
    return concat("(?:", text, ")");
  }

  // After the opening bracket; returns an expression for one character.
  std::string bracket() {
    if (++depth_ > 16) {
      fail("brackets are nested too deep");
    }
    bool negated = false;
    if (peek() == '^') {
      negated = true;
      ++at_;
    }
    std::vector<Set> parts(1);
    bool first = true;
    for (;; first = false) {
      if (at_ >= in_.size()) {
        fail("premature end of brackets");
      }
      if (in_[at_] == ']' && !first) {
        ++at_;
        break;
      }
      if (in_[at_] == '&' && peek(1) == '&') {
        at_ += 2;
        parts.emplace_back();
      } else {
        bracketItem(parts.back());
      }
    }
    --depth_;
    return combine(parts, negated);
  }

  static std::string combine(const std::vector<Set>& parts, bool negated) {
    if (parts.size() == 1 && parts[0].others.empty() && !parts[0].members.empty()) {
      return concat(negated ? "[^" : "[", parts[0].members, "]");
    }
    std::string text;
    for (std::size_t i = 1; i < parts.size(); ++i) {
      text += concat("(?=", expression(parts[i]), ")");
    }
    text += expression(parts[0]);
    return negated ? concat("(?:(?!", text, ")(?s:.))") : parts.size() > 1 ? concat("(?:", text, ")") : text;
  }

  void bracketItem(Set& set) {
    const char c = in_[at_];
    if (c == '[') {
      if (peek(1) == ':' && posix(set)) {
        return;
      }
      ++at_;
      inner(set);
      return;
    }
    if (c != '\\') {
      const std::size_t length = std::min(characterAt(in_, at_).length, in_.size() - at_);
      if (c == '^' || c == ']') {  // plain here, but maybe not where the members end up
        set.members += '\\';
      }
      set.members += in_.substr(at_, length);
      at_ += length;
      return;
    }
    const char kind = peek(1);
    switch (kind) {
      case 'w':
      case 's':
      case 'h':
        set.members += members(kind, true);
        at_ += 2;
        break;
      case 'S':
        set.members += "\\P{White_Space}";
        at_ += 2;
        break;
      case 'W':
      case 'H':
        set.others.push_back(concat("[^", members(static_cast<char>(kind - 'A' + 'a'), true), "]"));
        at_ += 2;
        break;
      case 'p':
      case 'P':
        set.members += property();
        break;
      case 'R':
      case 'X':
      case 'B':
      case 'M':
      case 'C':
        fail(concat("escape \\", kind, " in brackets is not supported"));
      default:
        set.members += plainEscape();
    }
  }

  void inner(Set& set) {
    const std::string text = bracket();
    // Plain inner brackets are a union: "[abc]" adds abc.
    if (text.size() > 2 && text[0] == '[' && text[1] != '^' && text.back() == ']') {
      set.members += text.substr(1, text.size() - 2);
    } else {
      set.others.push_back(text);
    }
  }

  // [:name:] or [:^name:]
  bool posix(Set& set) {
    const std::size_t end = in_.find(":]", at_);
    if (end == std::string_view::npos) {
      return false;
    }
    std::string_view name = in_.substr(at_ + 2, end - at_ - 2);
    const bool negated = !name.empty() && name[0] == '^';
    name.remove_prefix(negated ? 1 : 0);
    const std::string_view known = posixMembers(name);
    if (known.empty()) {
      return false;
    }
    if (negated) {
      set.others.push_back(concat("[^", known, "]"));
    } else {
      set.members += known;
    }
    at_ = end + 2;
    return true;
  }

  struct Group {
    std::size_t begin = 0;    // in out_
    std::size_t pending = 0;  // closing parentheses owed to isolated options
  };

  std::string_view in_;
  const std::string& where_;
  std::string out_;
  std::size_t at_ = 0;
  std::size_t atom_ = 0;              // where the last atom begins in out_
  std::vector<Group> groups_ = {{}};  // the first is the whole pattern
  int depth_ = 0;
  bool extended_ = false;
};

}  // namespace

std::string toPcre2(std::string_view pattern, const std::string& where) {
  return Translator(pattern, where).run();
}

}  // namespace headscope::detail
