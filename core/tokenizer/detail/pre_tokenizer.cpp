#include "core/tokenizer/detail/pre_tokenizer.h"

#include <algorithm>

#include "core/base/error.h"
#include "core/tokenizer/detail/byte_level.h"
#include "core/tokenizer/detail/component.h"
#include "core/tokenizer/detail/normalizer.h"

namespace headscope::detail {
namespace {

constexpr const char* kGpt2 = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

class Sequence final : public PreTokenizer {
 public:
  explicit Sequence(std::vector<std::unique_ptr<const PreTokenizer>> steps) : steps_(std::move(steps)) {}
  void apply(Segments& segments) const override {
    for (const auto& step : steps_) {
      step->apply(segments);
    }
  }
  bool addsPrefixSpace() const override {
    return std::any_of(steps_.begin(), steps_.end(), [](const auto& step) { return step->addsPrefixSpace(); });
  }
  bool isByteLevel() const override {
    return std::any_of(steps_.begin(), steps_.end(), [](const auto& step) { return step->isByteLevel(); });
  }

 private:
  std::vector<std::unique_ptr<const PreTokenizer>> steps_;
};

class Split final : public PreTokenizer {
 public:
  Split(Pattern pattern, SplitBehavior behavior, bool invert)
      : pattern_(std::move(pattern)), behavior_(behavior), invert_(invert) {}
  void apply(Segments& segments) const override {
    segments.split(
        [this](std::string_view text, std::vector<Match>& parts) {
          pattern_.find(text, parts);
          if (invert_) {
            for (Match& part : parts) {
              part.matched = !part.matched;
            }
          }
        },
        behavior_);
  }

 private:
  Pattern pattern_;
  SplitBehavior behavior_;
  bool invert_;
};

// A property of single characters.
class CharacterSplit final : public PreTokenizer {
 public:
  CharacterSplit(bool (*isMatch)(char32_t) noexcept, SplitBehavior behavior) : isMatch_(isMatch), behavior_(behavior) {}
  void apply(Segments& segments) const override { segments.split(isMatch_, behavior_); }

 private:
  bool (*isMatch_)(char32_t) noexcept;
  SplitBehavior behavior_;
};

class ByteLevel final : public PreTokenizer {
 public:
  ByteLevel(bool addPrefixSpace, bool useRegex) : addPrefixSpace_(addPrefixSpace) {
    if (useRegex) {
      words_ = std::make_unique<Pattern>(Pattern::regex(kGpt2, "ByteLevel"));
    }
  }
  void apply(Segments& segments) const override {
    if (addPrefixSpace_) {
      segments.rewrite([](std::string_view text, const Span* spans, AlignedText& out) {
        if (text[0] != ' ') {
          out.append(" ", spans[0]);
        }
        out.text.append(text);
        out.spans.insert(out.spans.end(), spans, spans + text.size());
      });
    }
    if (words_) {
      segments.split([this](std::string_view text, std::vector<Match>& parts) { words_->find(text, parts); },
                     SplitBehavior::Isolated);
    }
    segments.rewrite(appendByteLevel);
  }
  bool addsPrefixSpace() const override { return addPrefixSpace_; }
  bool isByteLevel() const override { return true; }

 private:
  bool addPrefixSpace_;
  std::unique_ptr<Pattern> words_;
};

class Metaspace final : public PreTokenizer {
 public:
  explicit Metaspace(MetaspaceOptions options)
      : options_(std::move(options)), pattern_(Pattern::literal(options_.replacement, "Metaspace")) {}
  void apply(Segments& segments) const override {
    segments.rewrite([this](std::string_view text, const Span* spans, AlignedText& out) {
      const bool starts = text[0] == ' ' || text.starts_with(options_.replacement);
      const bool wanted =
          options_.scheme == PrependScheme::Always || (options_.scheme == PrependScheme::First && spans[0].begin == 0);
      if (wanted && !starts) {
        out.append(options_.replacement, spans[0]);
      }
      for (std::size_t i = 0; i < text.size(); ++i) {
        out.append(text[i] == ' ' ? std::string_view(options_.replacement) : text.substr(i, 1), spans[i]);
      }
    });
    if (options_.split) {
      segments.split([this](std::string_view text, std::vector<Match>& parts) { pattern_.find(text, parts); },
                     SplitBehavior::MergedWithNext);
    }
  }
  bool addsPrefixSpace() const override { return options_.scheme != PrependScheme::Never; }

 private:
  MetaspaceOptions options_;
  Pattern pattern_;
};

class FixedLength final : public PreTokenizer {
 public:
  explicit FixedLength(std::int64_t length) : length_(length) {}
  void apply(Segments& segments) const override {
    segments.split(
        [this](std::string_view text, std::vector<Match>& parts) {
          parts.clear();
          std::size_t begin = 0;
          std::int64_t count = 0;
          for (std::size_t at = 0; at < text.size();) {
            at += characterAt(text, at).length;
            if (++count == length_ || at == text.size()) {
              parts.push_back({begin, at, true});
              begin = at;
              count = 0;
            }
          }
        },
        SplitBehavior::Isolated);
  }

 private:
  std::int64_t length_;
};

SplitBehavior readBehavior(const JsonReader& reader) {
  const std::string name = reader.string("behavior");
  if (name == "Removed") {
    return SplitBehavior::Removed;
  }
  if (name == "Isolated") {
    return SplitBehavior::Isolated;
  }
  if (name == "MergedWithPrevious") {
    return SplitBehavior::MergedWithPrevious;
  }
  if (name == "MergedWithNext") {
    return SplitBehavior::MergedWithNext;
  }
  if (name == "Contiguous") {
    return SplitBehavior::Contiguous;
  }
  reader.fail(concat("behavior \"", name.substr(0, 80), "\" is not known"));
}

std::unique_ptr<const PreTokenizer> makeBert() {
  std::vector<std::unique_ptr<const PreTokenizer>> steps;
  steps.push_back(std::make_unique<CharacterSplit>(isWhiteSpace, SplitBehavior::Removed));
  steps.push_back(std::make_unique<CharacterSplit>(isPunctuation, SplitBehavior::Isolated));
  return makeSequence(std::move(steps));
}

}  // namespace

MetaspaceOptions readMetaspace(const JsonReader& reader) {
  MetaspaceOptions options;
  options.replacement = oneCharacter(reader, "replacement");
  options.split = reader.booleanOr("split", true);
  const std::string scheme = reader.stringOr("prepend_scheme", "always");
  if (scheme == "first") {
    options.scheme = PrependScheme::First;
  } else if (scheme == "never") {
    options.scheme = PrependScheme::Never;
  } else if (scheme != "always") {
    reader.fail(concat("prepend_scheme \"", scheme.substr(0, 80), "\" is not known"));
  }
  if (!reader.booleanOr("add_prefix_space", true) && options.scheme != PrependScheme::Never) {
    reader.fail("\"add_prefix_space\" is false but \"prepend_scheme\" is not \"never\"");
  }
  return options;
}

std::unique_ptr<const PreTokenizer> makeSplit(const std::string& regex, const std::string& where) {
  return std::make_unique<Split>(Pattern::regex(regex, where), SplitBehavior::Isolated, false);
}

std::unique_ptr<const PreTokenizer> makeByteLevel(bool addPrefixSpace, bool useRegex) {
  return std::make_unique<ByteLevel>(addPrefixSpace, useRegex);
}

std::unique_ptr<const PreTokenizer> makeSequence(std::vector<std::unique_ptr<const PreTokenizer>> steps) {
  return std::make_unique<Sequence>(std::move(steps));
}

std::unique_ptr<const PreTokenizer> makePreTokenizer(const Json& config, const std::string& where) {
  if (config.is_null()) {
    return nullptr;
  }
  const JsonReader reader(config, where + ": pre_tokenizer");
  const std::string type = reader.string("type");
  if (type == "Sequence") {
    return makeSequence(makeSteps<PreTokenizer>(reader, "pretokenizers", where, makePreTokenizer));
  }
  if (type == "Split") {
    return std::make_unique<Split>(readPattern(reader, "pattern"), readBehavior(reader),
                                   requiredBoolean(reader, "invert"));
  }
  if (type == "ByteLevel") {
    requiredBoolean(reader, "trim_offsets");
    return makeByteLevel(requiredBoolean(reader, "add_prefix_space"), reader.booleanOr("use_regex", true));
  }
  if (type == "Metaspace") {
    return std::make_unique<Metaspace>(readMetaspace(reader));
  }
  if (type == "Digits") {
    return std::make_unique<CharacterSplit>(
        isNumeric, requiredBoolean(reader, "individual_digits") ? SplitBehavior::Isolated : SplitBehavior::Contiguous);
  }
  if (type == "Punctuation") {
    return std::make_unique<CharacterSplit>(isPunctuation,
                                            reader.has("behavior") ? readBehavior(reader) : SplitBehavior::Isolated);
  }
  if (type == "Whitespace") {
    constexpr const char* kWords =
        R"([\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]+|[^\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}\s]+)";
    return std::make_unique<Split>(Pattern::regex(kWords, reader.where()), SplitBehavior::Removed, true);
  }
  if (type == "WhitespaceSplit") {
    return std::make_unique<CharacterSplit>(isWhiteSpace, SplitBehavior::Removed);
  }
  if (type == "CharDelimiterSplit") {
    return std::make_unique<Split>(Pattern::literal(oneCharacter(reader, "delimiter"), reader.where()),
                                   SplitBehavior::Removed, false);
  }
  if (type == "BertPreTokenizer") {
    return makeBert();
  }
  if (type == "FixedLength") {
    return std::make_unique<FixedLength>(reader.integerOr("length", 5, 1, std::int64_t{1} << 31));
  }
  reader.fail(concat("type \"", type.substr(0, 80), "\" is not supported"));
}

}  // namespace headscope::detail
