#include "core/tokenizer/gguf_vocabulary.h"

#include <algorithm>

#include "core/files/gguf_reader.h"

namespace headscope {
namespace {

constexpr const char* kTokens = "tokenizer.ggml.tokens";
constexpr const char* kWholeFile = "tokenizer.huggingface.json";
constexpr std::int64_t kLargestId = std::int64_t{1} << 32;

std::vector<std::string> strings(const GgufReader& reader, const char* key) {
  if (!reader.has(key)) {
    return {};
  }
  const std::vector<std::string_view> views = reader.strings(key);
  return {views.begin(), views.end()};
}

std::optional<std::int64_t> id(const GgufReader& reader, const char* key) {
  return reader.has(key) ? std::optional(reader.integer(key, -kLargestId, kLargestId)) : std::nullopt;
}

std::optional<bool> flag(const GgufReader& reader, const char* key) {
  return reader.has(key) ? std::optional(reader.boolean(key)) : std::nullopt;
}

}  // namespace

std::optional<GgufVocabulary> readGgufVocabulary(const GgufFile& file) {
  const GgufReader reader(file);
  if (!reader.has(kTokens) && !reader.has(kWholeFile)) {
    return std::nullopt;
  }
  GgufVocabulary result;
  result.where = file.path().string();
  result.name = reader.stringOr("general.name", "");
  if (reader.has(kWholeFile)) {
    result.tokenizerJson = reader.string(kWholeFile);
  }
  result.model = reader.stringOr("tokenizer.ggml.model", "");
  result.pre = reader.stringOr("tokenizer.ggml.pre", "");
  result.tokens = strings(reader, kTokens);
  result.merges = strings(reader, "tokenizer.ggml.merges");
  if (reader.has("tokenizer.ggml.scores")) {
    const std::vector<double> scores = reader.numbers("tokenizer.ggml.scores");
    std::transform(scores.begin(), scores.end(), std::back_inserter(result.scores),
                   [](double score) { return static_cast<float>(score); });
  }
  if (reader.has("tokenizer.ggml.token_type")) {
    const std::vector<std::int64_t> types = reader.integers("tokenizer.ggml.token_type");
    std::transform(types.begin(), types.end(), std::back_inserter(result.tokenTypes),
                   [](std::int64_t type) { return static_cast<std::int32_t>(type); });
  }
  result.bos = id(reader, "tokenizer.ggml.bos_token_id");
  result.eos = id(reader, "tokenizer.ggml.eos_token_id");
  result.unknown = id(reader, "tokenizer.ggml.unknown_token_id");
  result.addBos = flag(reader, "tokenizer.ggml.add_bos_token");
  result.addEos = flag(reader, "tokenizer.ggml.add_eos_token");
  result.addSpacePrefix = flag(reader, "tokenizer.ggml.add_space_prefix");
  return result;
}

}  // namespace headscope
