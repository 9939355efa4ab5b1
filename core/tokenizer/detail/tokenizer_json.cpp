// Reads a tokenizer.json: https://huggingface.co/docs/tokenizers, and the library's own reader where that is
// silent.

#include <algorithm>

#include "core/base/error.h"
#include "core/tokenizer/detail/bpe.h"
#include "core/tokenizer/detail/component.h"
#include "core/tokenizer/detail/tokenizer_document.h"
#include "core/tokenizer/detail/tokenizer_parts.h"

namespace headscope::detail {
namespace {

constexpr std::int64_t kLargestId = (std::int64_t{1} << 32) - 1;

const Json& member(const Json& object, const char* key) {
  static const Json missing;
  const auto found = object.find(key);
  return found == object.end() ? missing : *found;
}

std::unique_ptr<const Bpe> readModel(TokenizerDocument& document, const std::string& where,
                                     std::vector<std::string>& notes) {
  const JsonReader model(JsonReader(document.tree, where).at("model"), where + ": model");
  const std::string type = model.stringOr("type", "BPE");
  if (type != "BPE") {
    throw Error(where, concat("model type \"", type.substr(0, 80), "\" is not supported, only BPE"),
                ErrorKind::Unsupported);
  }
  BpeOptions options;
  if (model.has("unk_token")) {
    options.unknownToken = model.string("unk_token");
  }
  options.continuingPrefix = model.stringOr("continuing_subword_prefix", "");
  options.wordSuffix = model.stringOr("end_of_word_suffix", "");
  options.fuseUnknown = model.booleanOr("fuse_unk", false);
  options.byteFallback = model.booleanOr("byte_fallback", false);
  options.ignoreMerges = model.booleanOr("ignore_merges", false);
  if (model.numberOr("dropout", 0) != 0) {
    notes.emplace_back("The tokenizer's dropout of merges, which is for training, is ignored.");
  }
  if (!document.vocabulary) {
    model.fail("\"vocab\" is missing or not an object");
  }
  if (!document.merges) {
    model.fail("\"merges\" is missing or not a list");
  }
  return std::make_unique<const Bpe>(std::move(*document.vocabulary), *document.merges, std::move(options),
                                     model.where());
}

void readAddedTokens(const Json& list, Tokenizer::Parts& parts) {
  if (list.is_null()) {
    return;
  }
  const std::string where = parts.where + ": added_tokens";
  if (!list.is_array()) {
    throw Error(where, "is not a list");
  }
  std::size_t moved = 0;
  for (const Json& json : list) {
    const JsonReader reader(json, where);
    AddedToken token;
    token.content = reader.string("content");
    token.singleWord = requiredBoolean(reader, "single_word");
    token.leftStrip = requiredBoolean(reader, "lstrip");
    token.rightStrip = requiredBoolean(reader, "rstrip");
    token.normalized = requiredBoolean(reader, "normalized");
    token.special = requiredBoolean(reader, "special");
    const std::int64_t named = reader.integer("id", 0, kLargestId);
    const auto id = parts.added.add(token, parts.model->vocabulary(), parts.normalizer.get());
    moved += id && std::int64_t{*id} != named ? 1 : 0;
  }
  if (moved > 0) {
    parts.notes.push_back(concat(moved,
                                 " added tokens have another id than the file says, as in the tokenizers library "
                                 "(the vocabulary's, or the next free one)."));
  }
}

// "bos_token": "<s>" or {"content": "<s>", …}
std::optional<std::string> namedToken(const Json& config, const char* key) {
  const Json& value = member(config, key);
  const Json& text = value.is_object() ? member(value, "content") : value;
  return text.is_string() ? std::optional(text.get<std::string>()) : std::nullopt;
}

std::optional<std::int64_t> find(const Tokenizer::Parts& parts, const std::optional<std::string>& text) {
  if (!text) {
    return std::nullopt;
  }
  const auto added = parts.added.id(*text);
  const auto id = added ? added : parts.model->vocabulary().id(*text);
  return id ? std::optional<std::int64_t>(*id) : std::nullopt;
}

// Facts that tokenizer.json doesn't have. The tokens it names win over guesses from the template.
void readConfig(const std::filesystem::path& path, Tokenizer::Parts& parts) {
  Json config;
  try {
    config = readJson(path, {std::uint64_t{64} << 20, 64});
  } catch (const Error& error) {
    parts.notes.push_back(concat("tokenizer_config.json is not used: ", error.problem()));
    return;
  }
  if (!config.is_object()) {
    parts.notes.emplace_back("tokenizer_config.json is not used: it is not a JSON object");
    return;
  }
  if (const auto id = find(parts, namedToken(config, "bos_token"))) {
    parts.bos = id;
  }
  if (const auto id = find(parts, namedToken(config, "eos_token"))) {
    parts.eos = id;
  }
  const bool adds = parts.postProcessor && !parts.postProcessor->before().empty();
  const Json& addBos = member(config, "add_bos_token");
  if (addBos.is_boolean() && addBos.get<bool>() != adds) {
    parts.notes.push_back(concat("tokenizer_config.json says that a BOS token is ", adds ? "not " : "",
                                 "added, tokenizer.json ", adds ? "adds one" : "adds none",
                                 ". The latter counts; choose with the BOS option."));
  }
}

std::string kindOf(const Tokenizer::Parts& parts, const BpeOptions& options, bool byteLevelNormalizer) {
  if (byteLevelNormalizer || (parts.preTokenizer && parts.preTokenizer->isByteLevel())) {
    return "byte-level BPE";
  }
  return options.byteFallback ? "SentencePiece-like BPE (byte fallback)" : "BPE";
}

bool isNotEmpty(const Json& json) {
  return !json.is_null();
}

}  // namespace

std::unique_ptr<Tokenizer::Parts> makeFromJson(std::string_view text, const std::string& where,
                                               const std::optional<std::filesystem::path>& tokenizerConfig) {
  TokenizerDocument document = parseTokenizer(text, where);
  const Json& json = document.tree;
  const JsonReader reader(json, where);
  const std::string version = reader.stringOr("version", "1.0");
  if (version != "1.0") {
    reader.fail(concat("version \"", version.substr(0, 80), "\" is not known, expected 1.0"));
  }
  auto parts = std::make_unique<Tokenizer::Parts>();
  parts->where = where;
  auto model = readModel(document, where, parts->notes);
  const BpeOptions options = model->options();
  parts->model = std::move(model);
  const Json& normalizer = member(json, "normalizer");
  parts->normalizer = makeNormalizer(normalizer, where);
  parts->preTokenizer = makePreTokenizer(member(json, "pre_tokenizer"), where);
  parts->postProcessor = makePostProcessor(member(json, "post_processor"), where);
  parts->decoder = makeDecoder(member(json, "decoder"), where);
  readAddedTokens(member(json, "added_tokens"), *parts);
  if (const std::size_t hidden = parts->added.finish(); hidden > 0) {
    parts->notes.push_back(
        concat(hidden, " added tokens can't be told from others after normalization; texts never give them."));
  }
  parts->kind = kindOf(*parts, options, normalizer.is_object() && member(normalizer, "type") == "ByteLevel");
  if (isNotEmpty(member(json, "truncation"))) {
    parts->notes.emplace_back("The tokenizer's truncation is ignored: texts are never cut.");
  }
  if (isNotEmpty(member(json, "padding"))) {
    parts->notes.emplace_back("The tokenizer's padding is ignored: nothing is added to short texts.");
  }
  if (parts->postProcessor) {
    const auto before = parts->postProcessor->before();
    const auto after = parts->postProcessor->after();
    parts->bos = before.size() == 1 ? std::optional(before[0].id) : std::nullopt;
    parts->eos = after.size() == 1 ? std::optional(after[0].id) : std::nullopt;
  }
  if (tokenizerConfig) {
    readConfig(*tokenizerConfig, *parts);
  }
  return parts;
}

}  // namespace headscope::detail
