#include "core/masks/formats/yaml_subset.h"

#include <algorithm>
#include <vector>

namespace headscope::masks {
namespace {

constexpr int kMostNesting = 32;

struct Line {
  std::size_t number = 0;  // from 1
  std::size_t indent = 0;
  std::string_view text;  // without indentation, comment and trailing blanks
};

// Where a comment begins: # at the start or after a blank, outside of quotes.
std::size_t commentStart(std::string_view text) {
  char quote = 0;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    if (quote != 0) {
      at += quote == '"' && c == '\\' ? 1 : 0;
      quote = c == quote ? '\0' : quote;
    } else if ((c == '"' || c == '\'') &&
               (at == 0 || std::string_view(" [{,:").find(text[at - 1]) != std::string::npos)) {
      quote = c;
    } else if (c == '#' && (at == 0 || text[at - 1] == ' ' || text[at - 1] == '\t')) {
      return at;
    }
  }
  return text.size();
}

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t\r");
  return first == std::string_view::npos ? std::string_view()
                                         : text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

class Parser {
 public:
  Parser(std::string_view text, const std::string& where) : where_(where) { splitLines(text); }

  Json document() {
    if (lines_.empty()) {
      return nullptr;
    }
    Json root = block(lines_.front().indent, 0);
    if (at_ < lines_.size()) {
      fail("is indented in a way that fits nothing");
    }
    return root;
  }

 private:
  [[noreturn]] void fail(const std::string& problem) const {
    const std::size_t line = at_ < lines_.size() ? lines_[at_].number : lines_.empty() ? 1 : lines_.back().number;
    throw Error(where_, concat("line ", line, " ", problem));
  }

  void splitLines(std::string_view text) {
    std::size_t number = 0;
    while (!text.empty()) {
      const std::size_t end = std::min(text.find('\n'), text.size());
      const std::string_view raw = text.substr(0, end);
      text.remove_prefix(std::min(end + 1, text.size()));
      ++number;
      const std::string_view content = trimmed(raw.substr(0, commentStart(raw)));
      if (content.empty() || (content == "---" && lines_.empty())) {
        continue;
      }
      const std::size_t indent = raw.find_first_not_of(' ');
      lines_.push_back({number, indent, content});
      if (raw[indent] == '\t' || content == "---") {
        at_ = lines_.size() - 1;
        fail(content == "---" ? "begins a second document" : "is indented with a tab");
      }
    }
  }

  // A map or list whose entries begin at `indent`.
  Json block(std::size_t indent, int depth) {
    if (depth > kMostNesting) {
      fail("is nested too deep");
    }
    const bool isList = isEntry(lines_[at_].text);
    Json value = isList ? Json::array() : Json::object();
    while (at_ < lines_.size() && lines_[at_].indent == indent && isEntry(lines_[at_].text) == isList) {
      if (isList) {
        value.push_back(listEntry(indent, depth));
      } else {
        mapEntry(value, indent, depth);
      }
    }
    return value;
  }

  static bool isEntry(std::string_view text) { return text == "-" || text.starts_with("- "); }

  Json listEntry(std::size_t indent, int depth) {
    Line& line = lines_[at_];
    const std::size_t skip = line.text == "-" ? std::string_view::npos : line.text.find_first_not_of(' ', 1);
    if (skip == std::string_view::npos) {
      ++at_;
      return nested(indent + 1, depth);
    }
    const std::string_view rest = line.text.substr(skip);
    if (!isEntry(rest) && keyEnd(rest) == std::string_view::npos) {
      ++at_;
      return inlineValue(rest);
    }
    // "- key: value": the entry is a block of its own that begins after the dash.
    line.indent += skip;
    line.text = rest;
    return block(line.indent, depth + 1);
  }

  void mapEntry(Json& map, std::size_t indent, int depth) {
    const std::string_view text = lines_[at_].text;
    const std::size_t colon = keyEnd(text);
    if (colon == std::string_view::npos) {
      fail("is neither \"key: value\" nor a list entry");
    }
    const Json key = scalar(trimmed(text.substr(0, colon)));
    const std::string_view rest = trimmed(text.substr(colon + 1));
    const std::string name = key.is_string() ? key.get<std::string>() : std::string();
    if (map.contains(name)) {
      fail(concat("has the key \"", name.substr(0, 60), "\" again"));
    }
    if (!rest.empty()) {
      Json value = inlineValue(rest);
      ++at_;
      map[name] = std::move(value);
      return;
    }
    ++at_;
    // A list may stand at the same indentation as its key.
    const bool sameIndentList = at_ < lines_.size() && lines_[at_].indent == indent && isEntry(lines_[at_].text);
    map[name] = nested(sameIndentList ? indent : indent + 1, depth);
  }

  Json nested(std::size_t least, int depth) {
    if (at_ >= lines_.size() || lines_[at_].indent < least) {
      return nullptr;
    }
    return block(lines_[at_].indent, depth + 1);
  }

  // Position of the colon that ends a key, npos if `text` is no "key: value".
  static std::size_t keyEnd(std::string_view text) {
    if (text.empty() || text[0] == '[' || text[0] == '{') {
      return std::string_view::npos;
    }
    std::size_t at = 0;
    if (text[0] == '"' || text[0] == '\'') {
      at = text.find(text[0], 1);
    }
    for (at = text.find(':', at); at != std::string_view::npos; at = text.find(':', at + 1)) {
      if (at + 1 == text.size() || text[at + 1] == ' ') {
        return at;
      }
    }
    return std::string_view::npos;
  }

  Json inlineValue(std::string_view text) {
    if (text[0] != '[' && text[0] != '{') {
      return scalar(text);
    }
    std::size_t end = 0;
    Json value = flow(text, end, 0);
    if (!trimmed(text.substr(end)).empty()) {
      fail("goes on after its list");
    }
    return value;
  }

  Json flow(std::string_view text, std::size_t& at, int depth) {
    if (depth > kMostNesting) {
      fail("is nested too deep");
    }
    const bool isList = text[at] == '[';
    const char closing = isList ? ']' : '}';
    Json value = isList ? Json::array() : Json::object();
    ++at;
    while (true) {
      at = std::min(text.find_first_not_of(' ', at), text.size());
      if (at < text.size() && text[at] == closing) {
        ++at;
        return value;
      }
      flowItem(text, at, depth, isList, value);
      at = std::min(text.find_first_not_of(' ', at), text.size());
      if (at < text.size() && text[at] == ',') {
        ++at;
      } else if (at >= text.size() || text[at] != closing) {
        fail("has a list that doesn't end on it");
      }
    }
  }

  void flowItem(std::string_view text, std::size_t& at, int depth, bool isList, Json& value) {
    if (isList) {
      value.push_back(flowValue(text, at, depth));
      return;
    }
    const std::size_t colon = text.find(':', at);
    if (colon == std::string_view::npos) {
      fail("has a map without a value");
    }
    const std::string key(trimmed(text.substr(at, colon - at)));
    at = std::min(text.find_first_not_of(' ', colon + 1), text.size());
    if (at >= text.size() || value.contains(key)) {
      fail("has a map that is broken or names a key twice");
    }
    value[key] = flowValue(text, at, depth);
  }

  Json flowValue(std::string_view text, std::size_t& at, int depth) {
    if (at < text.size() && (text[at] == '[' || text[at] == '{')) {
      return flow(text, at, depth + 1);
    }
    std::size_t end = text.find_first_of(",]}", at);
    if (at < text.size() && (text[at] == '"' || text[at] == '\'')) {
      end = text.find_first_of(",]}", std::min(text.find(text[at], at + 1), text.size()));
    }
    end = std::min(end, text.size());
    const std::string_view item = trimmed(text.substr(at, end - at));
    if (item.empty()) {
      fail("has an empty list entry");
    }
    at = end;
    return scalar(item);
  }

  Json scalar(std::string_view text) const {
    if (text == "~" || text == "null") {
      return nullptr;
    }
    if (text[0] == '"' || text[0] == '\'') {
      if (text.size() < 2 || text.back() != text[0]) {
        fail("has a quote that doesn't end on it");
      }
      if (text[0] == '"') {
        return parseJson(text, where_);
      }
      std::string plain(text.substr(1, text.size() - 2));
      for (std::size_t at = plain.find("''"); at != std::string::npos; at = plain.find("''", at + 1)) {
        plain.erase(at, 1);
      }
      return plain;
    }
    if (std::string_view("&*!|>%@`").find(text[0]) != std::string_view::npos) {
      fail(concat("begins with \"", text[0], "\", a form of YAML that is not read here"));
    }
    return std::string(text);
  }

  const std::string& where_;
  std::vector<Line> lines_;
  std::size_t at_ = 0;
};

}  // namespace

Json parseYaml(std::string_view text, const std::string& where) {
  return Parser(text, where).document();
}

std::string yamlScalar(const std::string& text) {
  const auto plain = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '/' || c == '_' ||
           c == '.' || c == '-';
  };
  const bool safe = !text.empty() && std::all_of(text.begin(), text.end(), plain) && text[0] != '-' &&
                    text.find_first_not_of("0123456789.") != std::string::npos && text != "null" && text != "true" &&
                    text != "false" && text != "yes" && text != "no";
  return safe ? text : Json(text).dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace headscope::masks
