// Tokenizers from GGUF metadata, as llama.cpp builds them (src/llama-vocab.cpp says which pre-tokenizer name
// means what).

#include <algorithm>
#include <array>
#include <unordered_set>

#include "core/base/error.h"
#include "core/base/text.h"
#include "core/tokenizer/detail/bpe.h"
#include "core/tokenizer/detail/score_model.h"
#include "core/tokenizer/detail/tokenizer_parts.h"

namespace headscope::detail {
namespace {

constexpr std::string_view kUnderline = "\xE2\x96\x81";  // ▁

constexpr std::string_view kGpt2 = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S))";
constexpr std::string_view kLlama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen35 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kTekken =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kGpt4o =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kDeepSeek3 =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

struct Family {
  std::vector<std::string_view> names;
  std::vector<std::string_view> regexes;  // each cuts what the one before it left
  bool ignoreMerges = false;
  bool addBos = false;
};

const std::vector<Family>& families() {
  static const std::vector<Family> known = {
      {{"llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2"},
       {kLlama3},
       true,
       true},
      {{"dbrx", "smaug-bpe", "glm4", "chatglm-bpe"}, {kLlama3}},
      {{"qwen2", "deepseek-r1-qwen", "stablelm2", "hunyuan", "megrez", "kormo", "solar-open", "grok-2"}, {kQwen2}},
      {{"qwen35"}, {kQwen35}},
      {{"tekken"}, {kTekken}, true, true},
      {{"gpt-4o", "llama4", "kanana2", "minimax-m2"}, {kGpt4o}},
      {{"gpt-2", "phi-2", "gigachat", "a.x-4.0", "mellum", "modern-bert", "mpt", "olmo", "jais", "trillion",
        "granite-docling", "exaone4"},
       {kGpt2}},
      {{"smollm", "command-r", "starcoder", "refact", "codeshell", "exaone", "minerva-7b", "mellum2"},
       {R"(\p{N})", kGpt2}},
      {{"deepseek-v3", "hunyuan-dense"}, {R"(\p{N}{1,3})", "[一-龥぀-ゟ゠-ヿ]+", kDeepSeek3}},
      {{"deepseek-coder"}, {R"([\r\n])", R"(\s?\p{L}+)", R"(\s?\p{P}+)", "[一-龥ࠀ-一가-퟿]+", R"(\p{N})"}},
      {{"falcon"}, {R"([\p{P}\$\+<=>\^~\|`]+)", kGpt2, "[0-9][0-9][0-9]"}},
      {{"seed-coder"},
       {R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+)"}},
      {{"gemma4"}, {R"([^\n]+|[\n]+)"}, false, true},
      {{"default", ""}, {R"([\p{P}\$\+<=>\^~\|]+)", kGpt2, R"(\p{N}+)", "[0-9][0-9][0-9]"}},
  };
  return known;
}

const Family& findFamily(const GgufVocabulary& vocabulary, const std::string& pre) {
  for (const Family& family : families()) {
    if (std::find(family.names.begin(), family.names.end(), pre) != family.names.end()) {
      return family;
    }
  }
  throw Error(vocabulary.where,
              concat("tokenizer.ggml.pre is \"", pre.substr(0, 80), "\", which this program does not know"),
              ErrorKind::Unsupported);
}

// Empty tokens and those that are no text can't come out of a text; they get a name.
void nameUnusable(GgufVocabulary& vocabulary) {
  for (std::size_t i = 0; i < vocabulary.tokens.size(); ++i) {
    std::string& token = vocabulary.tokens[i];
    if (token.empty()) {
      token = concat("[EMPTY_", i, "]");
    } else if (!isUtf8(token)) {
      token = concat("[NOT_UTF8_", i, "]");
    }
  }
}

StringMap<std::uint32_t> makeIds(const GgufVocabulary& vocabulary) {
  StringMap<std::uint32_t> ids;
  ids.reserve(vocabulary.tokens.size());
  for (std::size_t i = 0; i < vocabulary.tokens.size(); ++i) {
    const std::string& token = vocabulary.tokens[i];
    const auto [found, isNew] = ids.emplace(token, static_cast<std::uint32_t>(i));
    if (!isNew) {
      throw Error(vocabulary.where, concat("token \"", token.substr(0, 80), "\" is in the vocabulary twice, as ",
                                           found->second, " and ", i));
    }
  }
  return ids;
}

// "left right"; a token may begin with a space.
std::vector<std::pair<std::string, std::string>> makeMerges(const GgufVocabulary& vocabulary,
                                                            const StringMap<std::uint32_t>& ids,
                                                            std::vector<std::string>& notes) {
  std::vector<std::pair<std::string, std::string>> merges;
  std::unordered_set<std::string_view> seen;
  std::size_t useless = 0;
  for (const std::string& merge : vocabulary.merges) {
    const std::size_t space = merge.empty() ? std::string::npos : merge.find(' ', 1);
    if (space == std::string::npos) {
      throw Error(vocabulary.where,
                  concat("merge \"", merge.substr(0, 80), "\" is not two tokens with a space between"));
    }
    std::string left = merge.substr(0, space);
    std::string right = merge.substr(space + 1);
    if (ids.find(left) == ids.end() || ids.find(right) == ids.end() || ids.find(left + right) == ids.end()) {
      ++useless;
    } else if (seen.insert(merge).second) {
      merges.emplace_back(std::move(left), std::move(right));
    }
  }
  if (useless > 0) {
    notes.push_back(
        concat(useless, " merges of the tokenizer name tokens that are not in its vocabulary; they are ignored."));
  }
  return merges;
}

GgufTokenType typeOf(const GgufVocabulary& vocabulary, std::size_t id) {
  return id < vocabulary.tokenTypes.size() ? static_cast<GgufTokenType>(vocabulary.tokenTypes[id])
                                           : GgufTokenType::Normal;
}

// llama.cpp knows by the name alone that these tokens of Phi-3 swallow the white space after them.
bool swallowsSpace(const GgufVocabulary& vocabulary, const std::string& token) {
  std::string name = vocabulary.name;
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c); });
  const bool phi3 = name.find("phi-3") != std::string::npos || name.find("phi3") != std::string::npos;
  return phi3 && token != "<unk>" && token != "<s>" && token != "<|endoftext|>";
}

void addTokens(const GgufVocabulary& vocabulary, Tokenizer::Parts& parts) {
  for (std::size_t i = 0; i < vocabulary.tokens.size(); ++i) {
    const GgufTokenType type = typeOf(vocabulary, i);
    const bool special = type == GgufTokenType::Control || type == GgufTokenType::Unknown;
    if (special || type == GgufTokenType::UserDefined) {
      AddedToken token;
      token.content = vocabulary.tokens[i];
      token.special = special;
      token.rightStrip = swallowsSpace(vocabulary, token.content);
      parts.added.add(token, parts.model->vocabulary(), nullptr);
    }
  }
  parts.added.preferLongest();
  parts.added.finish();
}

std::optional<std::int64_t> checkedId(const GgufVocabulary& vocabulary, std::optional<std::int64_t> id) {
  return id && *id >= 0 && *id < static_cast<std::int64_t>(vocabulary.tokens.size()) ? id : std::nullopt;
}

void addTemplate(const GgufVocabulary& vocabulary, bool addBos, bool addEos, Tokenizer::Parts& parts) {
  const auto side = [&](bool wanted, std::optional<std::int64_t> id, const char* name) {
    std::vector<SpecialToken> tokens;
    if (wanted && !id) {
      throw Error(vocabulary.where, concat("the tokenizer adds ", name, " but does not say which token that is"));
    }
    if (wanted) {
      tokens.push_back({*id, vocabulary.tokens[static_cast<std::size_t>(*id)]});
    }
    return tokens;
  };
  parts.postProcessor = makeTemplate(side(addBos, parts.bos, "BOS"), side(addEos, parts.eos, "EOS"));
}

void buildScoreModel(const GgufVocabulary& vocabulary, Tokenizer::Parts& parts) {
  const bool addSpacePrefix = vocabulary.addSpacePrefix.value_or(true);
  Json steps = Json::array();
  if (addSpacePrefix) {
    steps.push_back({{"type", "Prepend"}, {"prepend", kUnderline}});
  }
  steps.push_back({{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", kUnderline}});
  parts.normalizer = makeNormalizer({{"type", "Sequence"}, {"normalizers", steps}}, vocabulary.where);
  const auto unknown = checkedId(vocabulary, vocabulary.unknown.value_or(0));
  parts.model = std::make_unique<const ScoreModel>(
      makeIds(vocabulary), vocabulary.scores,
      unknown ? std::optional(static_cast<std::uint32_t>(*unknown)) : std::nullopt, vocabulary.where);
  parts.decoder = makeSentencePieceDecoder(addSpacePrefix);
  parts.kind = "SentencePiece-like (scores, byte fallback)";
  parts.bos = checkedId(vocabulary, vocabulary.bos.value_or(1));
  parts.eos = checkedId(vocabulary, vocabulary.eos.value_or(2));
  addTokens(vocabulary, parts);
  addTemplate(vocabulary, vocabulary.addBos.value_or(true), vocabulary.addEos.value_or(false), parts);
}

void buildBpe(const GgufVocabulary& vocabulary, Tokenizer::Parts& parts) {
  const bool gemma = vocabulary.model == "gemma4" || vocabulary.pre == "gemma4";
  const Family& family = findFamily(vocabulary, gemma ? "gemma4" : vocabulary.pre);
  if (vocabulary.pre.empty() && !gemma) {
    parts.notes.emplace_back(
        "The file does not say how to cut texts into words (tokenizer.ggml.pre); a general rule is used, "
        "as in llama.cpp. Some tokens may not be those that the model was trained with.");
  }
  StringMap<std::uint32_t> ids = makeIds(vocabulary);
  auto merges = makeMerges(vocabulary, ids, parts.notes);
  BpeOptions options;
  options.ignoreMerges = family.ignoreMerges;
  options.byteFallback = gemma;
  options.ignoreMergesOfLineEnds = gemma;
  parts.model = std::make_unique<const Bpe>(std::move(ids), merges, options, vocabulary.where);
  std::vector<std::unique_ptr<const PreTokenizer>> steps;
  for (const std::string_view regex : family.regexes) {
    steps.push_back(makeSplit(std::string(regex), vocabulary.where));
  }
  if (gemma) {
    parts.normalizer = makeNormalizer({{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", kUnderline}},
                                      vocabulary.where);
    parts.decoder = makeSentencePieceDecoder(false);
    parts.kind = "SentencePiece-like BPE (byte fallback)";
  } else {
    steps.push_back(makeByteLevel(false, false));
    parts.decoder = makeByteLevelDecoder();
    parts.kind = "byte-level BPE";
  }
  parts.preTokenizer = makeSequence(std::move(steps));
  const std::optional<std::int64_t> fallback = gemma ? std::nullopt : std::optional<std::int64_t>(11);
  parts.bos = checkedId(vocabulary, vocabulary.bos ? vocabulary.bos : fallback);
  parts.eos = checkedId(vocabulary, vocabulary.eos ? vocabulary.eos : fallback);
  addTokens(vocabulary, parts);
  addTemplate(vocabulary, gemma || vocabulary.addBos.value_or(family.addBos), vocabulary.addEos.value_or(false), parts);
}

}  // namespace

std::unique_ptr<Tokenizer::Parts> makeFromGguf(GgufVocabulary vocabulary) {
  if (vocabulary.tokenizerJson) {
    const std::string where = vocabulary.where + ": tokenizer.huggingface.json";
    auto parts = makeFromJson(*vocabulary.tokenizerJson, where, std::nullopt);
    parts->bos = vocabulary.bos ? vocabulary.bos : parts->bos;
    parts->eos = vocabulary.eos ? vocabulary.eos : parts->eos;
    return parts;
  }
  if (vocabulary.tokens.empty()) {
    throw Error(vocabulary.where, "has no tokenizer (tokenizer.ggml.tokens)");
  }
  nameUnusable(vocabulary);
  if (vocabulary.scores.empty()) {
    vocabulary.scores.resize(vocabulary.tokens.size());
  }
  if (!vocabulary.tokenTypes.empty() && vocabulary.tokenTypes.size() < vocabulary.tokens.size()) {
    throw Error(vocabulary.where, concat("there are ", vocabulary.tokenTypes.size(), " token types for ",
                                         vocabulary.tokens.size(), " tokens"));
  }
  auto parts = std::make_unique<Tokenizer::Parts>();
  parts->where = vocabulary.where;
  if (vocabulary.model == "llama") {
    buildScoreModel(vocabulary, *parts);
  } else if (vocabulary.model == "gpt2" || vocabulary.model == "gemma4") {
    buildBpe(vocabulary, *parts);
  } else {
    throw Error(vocabulary.where,
                concat("tokenizer.ggml.model is \"", vocabulary.model.substr(0, 80), "\", which is not supported"),
                ErrorKind::Unsupported);
  }
  return parts;
}

}  // namespace headscope::detail
