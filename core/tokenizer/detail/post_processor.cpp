#include "core/tokenizer/detail/post_processor.h"

#include <algorithm>
#include <functional>

#include "core/base/error.h"
#include "core/tokenizer/detail/byte_level.h"
#include "core/tokenizer/detail/component.h"
#include "core/tokenizer/detail/unicode.h"

namespace headscope::detail {
namespace {

constexpr std::int64_t kLargestId = (std::int64_t{1} << 32) - 1;

using Lists = std::vector<std::vector<OutputToken>>;

bool isTrimmed(char32_t c) noexcept {
  return c == byteLevelCharacter(' ') || isWhiteSpace(c);
}

// `count` characters further, at most to `limit`.
std::size_t forward(std::string_view text, std::size_t at, std::size_t count, std::size_t limit) {
  for (; count > 0 && at < limit; --count) {
    at += characterAt(text, at).length;
  }
  return std::min(at, limit);
}

// Leaves the white space at a token's ends out of its offsets. All counts are characters, not bytes.
void trim(std::vector<OutputToken>& tokens, std::string_view input, bool addPrefixSpace) {
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    OutputToken& token = tokens[i];
    std::size_t leading = 0;
    std::size_t characters = 0;
    std::size_t trailing = 0;
    for (std::size_t at = 0; at < token.text.size(); ++characters) {
      const Character one = characterAt(token.text, at);
      at += one.length;
      const bool space = isTrimmed(one.codePoint);
      trailing = space ? trailing + 1 : 0;
      leading += space && leading == characters ? 1 : 0;
    }
    if (leading > 0) {
      // A single space at the very start is the one that the pre-tokenizer added.
      const bool added = (i == 0 || token.begin == 0) && addPrefixSpace && leading == 1;
      token.begin = added ? token.begin : forward(input, token.begin, leading, std::max(token.begin, token.end));
    }
    if (trailing > 0) {
      std::size_t end = token.end;
      std::size_t left = trailing;
      for (; left > 0 && end > 0; --left) {
        end = previousCharacter(input, end);
      }
      token.end = left == 0 ? std::max(end, token.begin) : token.end;
    }
  }
}

class Trim final : public PostProcessor {
 public:
  Trim(bool trimOffsets, bool addPrefixSpace) : trimOffsets_(trimOffsets), addPrefixSpace_(addPrefixSpace) {}
  void apply(Lists& lists, std::string_view input, bool) const override {
    for (auto& list : lists) {
      if (trimOffsets_) {
        trim(list, input, addPrefixSpace_);
      }
    }
  }

 private:
  bool trimOffsets_;
  bool addPrefixSpace_;
};

// TemplateProcessing for one sequence; Bert's and Roberta's are such templates too.
class Template final : public PostProcessor {
 public:
  Template(std::vector<SpecialToken> before, std::vector<SpecialToken> after, std::int64_t sequences = 1)
      : before_(std::move(before)), after_(std::move(after)), sequences_(sequences) {}
  void apply(Lists& lists, std::string_view, bool addSpecial) const override {
    Lists result;
    if (addSpecial && !before_.empty()) {
      result.push_back(outputs(before_));
    }
    for (std::int64_t n = 0; n < sequences_; ++n) {
      result.insert(result.end(), lists.begin(), lists.end());
    }
    if (addSpecial && !after_.empty()) {
      result.push_back(outputs(after_));
    }
    lists = std::move(result);
  }
  std::vector<SpecialToken> before() const override { return before_; }
  std::vector<SpecialToken> after() const override { return after_; }

 private:
  static std::vector<OutputToken> outputs(const std::vector<SpecialToken>& tokens) {
    std::vector<OutputToken> result;
    for (const SpecialToken& token : tokens) {
      result.push_back({token.id, token.text, 0, 0});
    }
    return result;
  }

  std::vector<SpecialToken> before_;
  std::vector<SpecialToken> after_;
  std::int64_t sequences_;
};

class Sequence final : public PostProcessor {
 public:
  explicit Sequence(std::vector<std::unique_ptr<const PostProcessor>> steps) : steps_(std::move(steps)) {}
  void apply(Lists& lists, std::string_view input, bool addSpecial) const override {
    for (const auto& step : steps_) {
      step->apply(lists, input, addSpecial);
    }
  }
  std::vector<SpecialToken> before() const override {
    return first([](const PostProcessor& step) { return step.before(); });
  }
  std::vector<SpecialToken> after() const override {
    return first([](const PostProcessor& step) { return step.after(); });
  }

 private:
  std::vector<SpecialToken> first(
      const std::function<std::vector<SpecialToken>(const PostProcessor&)>& tokensOf) const {
    for (const auto& step : steps_) {
      if (auto tokens = tokensOf(*step); !tokens.empty()) {
        return tokens;
      }
    }
    return {};
  }

  std::vector<std::unique_ptr<const PostProcessor>> steps_;
};

// ["</s>", 2]
SpecialToken readPair(const JsonReader& reader, const char* key) {
  const Json& pair = reader.at(key);
  if (!pair.is_array() || pair.size() != 2 || !pair[0].is_string() || !pair[1].is_number_unsigned()) {
    reader.fail(concat("\"", key, "\" is not a pair of text and id"));
  }
  return {pair[1].get<std::int64_t>(), pair[0].get<std::string>()};
}

std::vector<SpecialToken> readSpecialToken(const JsonReader& reader, const std::string& name) {
  const Json& all = reader.at("special_tokens");
  if (!all.is_object() || !all.contains(name)) {
    reader.fail(concat("the template's special token \"", name.substr(0, 80), "\" is not in \"special_tokens\""));
  }
  const JsonReader token(all[name], concat(reader.where(), ": special_tokens: ", name.substr(0, 80)));
  const Json& ids = token.at("ids");
  const Json& texts = token.at("tokens");
  if (!ids.is_array() || !texts.is_array() || ids.size() != texts.size()) {
    token.fail("\"ids\" and \"tokens\" are not lists of the same length");
  }
  std::vector<SpecialToken> result;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (!ids[i].is_number_unsigned() || ids[i].get<std::uint64_t>() > kLargestId || !texts[i].is_string()) {
      token.fail("\"ids\" has something that is not an id, or \"tokens\" something that is not a text");
    }
    result.push_back({ids[i].get<std::int64_t>(), texts[i].get<std::string>()});
  }
  return result;
}

// Calls `sequence` and `special` for the pieces of a template in order.
void readPieces(const JsonReader& reader, const char* key, const std::function<void(const std::string&)>& sequence,
                const std::function<void(const std::string&)>& special) {
  const Json& pieces = reader.at(key);
  if (!pieces.is_array()) {
    reader.fail(concat("\"", key, "\" is not a list"));
  }
  for (const Json& piece : pieces) {
    if (!piece.is_object() || piece.size() != 1) {
      reader.fail(concat("\"", key, "\" has a piece that is neither Sequence nor SpecialToken"));
    }
    const JsonReader content(piece.begin().value(), concat(reader.where(), ": ", key));
    const std::string id = content.string("id");
    if (piece.begin().key() == "Sequence" && (id == "A" || id == "B")) {
      sequence(id);
    } else if (piece.begin().key() == "SpecialToken") {
      special(id);
    } else {
      reader.fail(concat("\"", key, "\" has a piece that is neither Sequence nor SpecialToken"));
    }
  }
}

std::unique_ptr<const PostProcessor> readTemplate(const JsonReader& reader) {
  std::vector<SpecialToken> sides[2];
  std::int64_t sequences = 0;
  readPieces(
      reader, "single",
      [&](const std::string& id) {
        if (id != "A") {
          reader.fail("the template for one text uses sequence B");
        }
        if (++sequences > 1) {
          reader.fail("the template uses the text more than once");
        }
      },
      [&](const std::string& name) {
        const std::vector<SpecialToken> tokens = readSpecialToken(reader, name);
        auto& side = sides[sequences == 0 ? 0 : 1];
        side.insert(side.end(), tokens.begin(), tokens.end());
      });
  if (reader.has("pair")) {
    readPieces(
        reader, "pair", [](const std::string&) {}, [&](const std::string& name) { readSpecialToken(reader, name); });
  }
  return std::make_unique<Template>(std::move(sides[0]), std::move(sides[1]), sequences);
}

}  // namespace

std::unique_ptr<const PostProcessor> makeTemplate(std::vector<SpecialToken> before, std::vector<SpecialToken> after) {
  return std::make_unique<Template>(std::move(before), std::move(after));
}

std::unique_ptr<const PostProcessor> makePostProcessor(const Json& config, const std::string& where) {
  if (config.is_null()) {
    return nullptr;
  }
  const JsonReader reader(config, where + ": post_processor");
  const std::string type = reader.string("type");
  if (type == "Sequence") {
    auto steps = makeSteps<PostProcessor>(reader, "processors", where, makePostProcessor);
    const auto adding = std::count_if(
        steps.begin(), steps.end(), [](const auto& step) { return !step->before().empty() || !step->after().empty(); });
    if (adding > 1) {
      reader.fail("more than one of its steps adds tokens, which is not supported");
    }
    return std::make_unique<Sequence>(std::move(steps));
  }
  if (type == "TemplateProcessing") {
    return readTemplate(reader);
  }
  if (type == "ByteLevel") {
    return std::make_unique<Trim>(requiredBoolean(reader, "trim_offsets"), requiredBoolean(reader, "add_prefix_space"));
  }
  if (type == "BertProcessing" || type == "RobertaProcessing") {
    std::vector<SpecialToken> before = {readPair(reader, "cls")};
    std::vector<SpecialToken> after = {readPair(reader, "sep")};
    auto pieces = std::make_unique<Template>(std::move(before), std::move(after));
    if (type == "BertProcessing") {
      return pieces;
    }
    std::vector<std::unique_ptr<const PostProcessor>> steps;
    steps.push_back(
        std::make_unique<Trim>(requiredBoolean(reader, "trim_offsets"), requiredBoolean(reader, "add_prefix_space")));
    steps.push_back(std::move(pieces));
    return std::make_unique<Sequence>(std::move(steps));
  }
  reader.fail(concat("type \"", type.substr(0, 80), "\" is not supported"));
}

}  // namespace headscope::detail
