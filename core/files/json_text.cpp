#include "core/files/json_text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <string_view>
#include <utility>

namespace headscope {
namespace {

constexpr std::size_t kShortObject = 100;

class Writer {
 public:
  explicit Writer(JsonLayout layout) : layout_(layout) {}

  void append(std::string& out, const OrderedJson& value, std::size_t indent) const {
    if (value.is_number_float()) {
      out += jsonNumber(value.get<double>());
    } else if (value.is_structured()) {
      appendItems(out, value, indent);
    } else {
      out += textOrPlain(value);
    }
  }

 private:
  // Line and paragraph separators inside a text would end a line for readers that go by Unicode.
  static std::string textOrPlain(const OrderedJson& value) {
    std::string text = value.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
    for (const auto& [separator, escape] : {std::pair("\xc2\x85", "\\u0085"), std::pair("\xe2\x80\xa8", "\\u2028"),
                                            std::pair("\xe2\x80\xa9", "\\u2029")}) {
      for (std::size_t at = text.find(separator); at != std::string::npos; at = text.find(separator, at)) {
        text.replace(at, std::string_view(separator).size(), escape);
      }
    }
    return text;
  }

  void appendItems(std::string& out, const OrderedJson& value, std::size_t indent) const {
    const bool oneLine = layout_ == JsonLayout::Line || isFlatList(value) || isShortObject(value);
    const std::string separator = oneLine ? ", " : ",\n" + std::string(indent + 2, ' ');
    out += value.is_array() ? '[' : '{';
    if (!oneLine) {
      out += separator.substr(1);
    }
    bool first = true;
    for (const auto& [key, item] : value.items()) {
      out += first ? "" : separator;
      first = false;
      if (value.is_object()) {
        out += textOrPlain(OrderedJson(key)) + ": ";
      }
      append(out, item, indent + 2);
    }
    if (!oneLine) {
      out += '\n' + std::string(indent, ' ');
    }
    out += value.is_array() ? ']' : '}';
  }

  static bool isFlatList(const OrderedJson& value) {
    return value.is_array() &&
           std::all_of(value.begin(), value.end(), [](const OrderedJson& item) { return item.is_primitive(); });
  }

  static bool isShortObject(const OrderedJson& value) {
    if (!value.is_object() || value.size() > 8) {
      return false;
    }
    std::size_t length = 0;
    for (const auto& [key, item] : value.items()) {
      const bool text = item.is_string();
      if (!item.is_primitive()) {
        return false;
      }
      length += key.size() + (text ? item.get_ref<const std::string&>().size() : 8) + 4;
    }
    return length <= kShortObject;
  }

  JsonLayout layout_;
};

}  // namespace

std::string jsonNumber(double value) {
  if (!std::isfinite(value)) {
    return "null";
  }
  std::array<char, 32> buffer{};
  const auto result = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
  std::string text(buffer.data(), result.ptr);
  if (text.find_first_of(".e") == std::string::npos) {
    text += ".0";
  }
  return text;
}

std::string jsonText(const OrderedJson& document, JsonLayout layout) {
  std::string text;
  Writer(layout).append(text, document, 0);
  text += '\n';
  return text;
}

}  // namespace headscope
