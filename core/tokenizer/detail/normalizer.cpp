#include "core/tokenizer/detail/normalizer.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/base/text.h"
#include "core/tokenizer/detail/byte_level.h"
#include "core/tokenizer/detail/component.h"

namespace headscope::detail {
namespace {

class Sequence final : public Normalizer {
 public:
  explicit Sequence(std::vector<std::unique_ptr<const Normalizer>> steps) : steps_(std::move(steps)) {}
  void apply(AlignedText& text) const override {
    for (const auto& step : steps_) {
      step->apply(text);
    }
  }

 private:
  std::vector<std::unique_ptr<const Normalizer>> steps_;
};

class UnicodeForm final : public Normalizer {
 public:
  explicit UnicodeForm(NormalForm form) : form_(form) {}
  void apply(AlignedText& text) const override {
    const bool ascii = std::all_of(text.text.begin(), text.text.end(),
                                   [](char byte) { return static_cast<unsigned char>(byte) < 0x80; });
    if (!ascii) {
      text.apply(normalForm(text.text, form_));
    }
  }

 private:
  NormalForm form_;
};

class Prepend final : public Normalizer {
 public:
  explicit Prepend(std::string text) : prefix_(std::move(text)) {}
  void apply(AlignedText& text) const override {
    if (!text.text.empty()) {
      text.spans.insert(text.spans.begin(), prefix_.size(), Span(text.spans[0]));
      text.text.insert(0, prefix_);
    }
  }

 private:
  std::string prefix_;
};

class Replace final : public Normalizer {
 public:
  Replace(Pattern pattern, std::string content) : pattern_(std::move(pattern)), content_(std::move(content)) {}
  void apply(AlignedText& text) const override {
    std::vector<Match> parts;
    pattern_.find(text.text, parts);
    if (std::none_of(parts.begin(), parts.end(), [](const Match& part) { return part.matched; })) {
      return;
    }
    const AlignedText old = std::move(text);
    text = {};
    text.text.reserve(old.text.size());
    text.spans.reserve(old.text.size());
    for (const Match& part : parts) {
      if (part.matched) {
        // The new text stands where the last character that it replaces stood.
        text.append(content_, old.spans[std::max<std::size_t>(part.end, 1) - 1]);
      } else {
        text.text.append(old.text, part.begin, part.end - part.begin);
        const auto spans = old.spans.begin();
        text.spans.insert(text.spans.end(), spans + static_cast<std::ptrdiff_t>(part.begin),
                          spans + static_cast<std::ptrdiff_t>(part.end));
      }
    }
  }

 private:
  Pattern pattern_;
  std::string content_;
};

// Keeps the characters for which `keep` holds.
void filter(AlignedText& text, bool (*keep)(char32_t) noexcept) {
  std::vector<Edit> edits;
  std::size_t removedFirst = 0;
  for (std::size_t at = 0; at < text.text.size();) {
    const Character one = characterAt(text.text, at);
    at += one.length;
    if (keep(one.codePoint)) {
      edits.push_back({one.codePoint, 0});
    } else if (edits.empty()) {
      ++removedFirst;
    } else {
      --edits.back().change;
    }
  }
  text.apply(edits, removedFirst);
}

class StripAccents final : public Normalizer {
 public:
  void apply(AlignedText& text) const override {
    filter(text, [](char32_t c) noexcept { return !isCombiningMark(c); });
  }
};

class Lowercase final : public Normalizer {
 public:
  void apply(AlignedText& text) const override {
    std::vector<Edit> edits;
    edits.reserve(text.text.size());
    for (std::size_t at = 0; at < text.text.size();) {
      const Character one = characterAt(text.text, at);
      at += one.length;
      int change = 0;
      for (const char32_t c : lowerCase(one.codePoint)) {
        edits.push_back({c, change});
        change = 1;
      }
    }
    text.apply(edits);
  }
};

class Strip final : public Normalizer {
 public:
  Strip(bool left, bool right) : left_(left), right_(right) {}
  void apply(AlignedText& text) const override {
    std::size_t begin = 0;
    std::size_t end = text.text.size();
    while (left_ && begin < end) {
      const Character one = characterAt(text.text, begin);
      if (!isWhiteSpace(one.codePoint)) {
        break;
      }
      begin += one.length;
    }
    while (right_ && end > begin) {
      const std::size_t at = previousCharacter(text.text, end);
      if (!isWhiteSpace(characterAt(text.text, at).codePoint)) {
        break;
      }
      end = at;
    }
    text.text = text.text.substr(begin, end - begin);
    text.spans.resize(end);
    text.spans.erase(text.spans.begin(), text.spans.begin() + static_cast<std::ptrdiff_t>(begin));
  }

 private:
  bool left_;
  bool right_;
};

class ByteLevel final : public Normalizer {
 public:
  void apply(AlignedText& text) const override {
    AlignedText bytes;
    appendByteLevel(text.text, text.spans.data(), bytes);
    text = std::move(bytes);
  }
};

// The cleaning that sentencepiece's "nmt" rules do.
class Nmt final : public Normalizer {
 public:
  void apply(AlignedText& text) const override {
    filter(text, [](char32_t c) noexcept {
      const bool control =
          (c >= 0x01 && c <= 0x08) || c == 0x0B || (c >= 0x0E && c <= 0x1F) || c == 0x7F || c == 0x8F || c == 0x9F;
      return !control;
    });
    std::vector<Edit> edits;
    for (std::size_t at = 0; at < text.text.size();) {
      const Character one = characterAt(text.text, at);
      at += one.length;
      const char32_t c = one.codePoint;
      const bool space = c == 0x09 || c == 0x0A || c == 0x0C || c == 0x0D || c == 0x1680 ||
                         (c >= 0x200B && c <= 0x200F) || c == 0x2028 || c == 0x2029 || c == 0x2581 || c == 0xFEFF ||
                         c == 0xFFFD;
      edits.push_back({space ? U' ' : c, 0});
    }
    text.apply(edits);
  }
};

}  // namespace

std::string Normalizer::apply(std::string_view text) const {
  AlignedText aligned;
  aligned.append(text, Span{});
  apply(aligned);
  return aligned.text;
}

Pattern readPattern(const JsonReader& reader, const char* key) {
  const Json& pattern = reader.at(key);
  if (pattern.is_object() && pattern.size() == 1 && pattern.begin()->is_string()) {
    if (pattern.contains("String")) {
      return Pattern::literal(pattern["String"].get<std::string>(), reader.where());
    }
    if (pattern.contains("Regex")) {
      return Pattern::regex(pattern["Regex"].get_ref<const std::string&>(), reader.where());
    }
  }
  reader.fail(concat("\"", key, "\" is neither {\"String\": …} nor {\"Regex\": …}"));
}

std::unique_ptr<const Normalizer> makeNormalizer(const Json& config, const std::string& where) {
  if (config.is_null()) {
    return nullptr;
  }
  const JsonReader reader(config, where + ": normalizer");
  const std::string type = reader.string("type");
  if (type == "Sequence") {
    return std::make_unique<Sequence>(makeSteps<Normalizer>(reader, "normalizers", where, makeNormalizer));
  }
  if (type == "NFC" || type == "NFD" || type == "NFKC" || type == "NFKD") {
    const bool compatible = type.size() == 4;
    const bool composed = type.back() == 'C';
    return std::make_unique<UnicodeForm>(composed ? (compatible ? NormalForm::KC : NormalForm::C)
                                                  : (compatible ? NormalForm::KD : NormalForm::D));
  }
  if (type == "Prepend") {
    return std::make_unique<Prepend>(reader.string("prepend"));
  }
  if (type == "Replace") {
    return std::make_unique<Replace>(readPattern(reader, "pattern"), reader.string("content"));
  }
  if (type == "Strip") {
    return std::make_unique<Strip>(requiredBoolean(reader, "strip_left"), requiredBoolean(reader, "strip_right"));
  }
  if (type == "StripAccents") {
    return std::make_unique<StripAccents>();
  }
  if (type == "Lowercase") {
    return std::make_unique<Lowercase>();
  }
  if (type == "ByteLevel") {
    return std::make_unique<ByteLevel>();
  }
  if (type == "Nmt") {
    return std::make_unique<Nmt>();
  }
  reader.fail(concat("type \"", type.substr(0, 80), "\" is not supported"));
}

}  // namespace headscope::detail
