#include "resources/demo/trainer/bpe_trainer.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <map>
#include <memory>
#include <unordered_map>

#include "core/base/error.h"
#include "core/base/text.h"
#include "core/files/atomic_file.h"
#include "core/files/json.h"

namespace headscope::demo {

const char* const kSplitPattern =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| "
    "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)"
    "|\\s+";

namespace {

constexpr int kSpecials = 2;

struct Word {
  std::vector<int> symbols;
  long long count = 0;
};

using WordCounts = std::unordered_map<std::string, long long>;

void countWords(std::string_view text, WordCounts& counts) {
  int error = 0;
  PCRE2_SIZE at = 0;
  std::unique_ptr<pcre2_code, decltype(&pcre2_code_free)> code(
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(kSplitPattern), PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP, &error,
                    &at, nullptr),
      pcre2_code_free);
  if (!code) {
    throw Error("split pattern", concat("does not compile, at ", at));
  }
  pcre2_jit_compile(code.get(), PCRE2_JIT_COMPLETE);
  std::unique_ptr<pcre2_match_data, decltype(&pcre2_match_data_free)> match(
      pcre2_match_data_create_from_pattern(code.get(), nullptr), pcre2_match_data_free);
  PCRE2_SIZE start = 0;
  while (start < text.size()) {
    const int found = pcre2_match(code.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), start,
                                  PCRE2_NO_UTF_CHECK, match.get(), nullptr);
    if (found < 0) {
      break;
    }
    const PCRE2_SIZE* span = pcre2_get_ovector_pointer(match.get());
    ++counts[std::string(text.substr(span[0], span[1] - span[0]))];
    start = std::max(span[1], start + 1);
  }
}

// GPT-2's printable stand-ins: bytes that are printable keep their code point, the others move to U+0100 and up.
std::vector<std::string> byteAlphabet() {
  std::vector<std::string> symbols(256);
  char32_t next = 0x100;
  for (char32_t byte = 0; byte < 256; ++byte) {
    const bool printable = (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
    appendUtf8(symbols[byte], printable ? byte : next++);
  }
  return symbols;
}

std::vector<Word> splitIntoBytes(const WordCounts& counts) {
  const std::map<std::string, long long> sorted(counts.begin(), counts.end());  // a fixed order: same file each time
  std::vector<Word> words;
  for (const auto& [text, count] : sorted) {
    Word word;
    word.count = count;
    for (const char c : text) {
      word.symbols.push_back(static_cast<unsigned char>(c) + kSpecials);
    }
    words.push_back(std::move(word));
  }
  return words;
}

std::pair<int, int> mostFrequentPair(const std::vector<Word>& words) {
  std::unordered_map<long long, long long> counts;
  for (const Word& word : words) {
    for (std::size_t i = 0; i + 1 < word.symbols.size(); ++i) {
      counts[(static_cast<long long>(word.symbols[i]) << 32) | word.symbols[i + 1]] += word.count;
    }
  }
  long long best = -1;
  long long bestCount = 0;
  for (const auto& [pair, count] : counts) {
    if (count > bestCount || (count == bestCount && pair < best)) {
      best = pair;
      bestCount = count;
    }
  }
  return {static_cast<int>(best >> 32), static_cast<int>(best & 0xFFFFFFFF)};
}

void merge(std::vector<Word>& words, std::pair<int, int> pair, int symbol) {
  for (Word& word : words) {
    std::size_t to = 0;
    for (std::size_t i = 0; i < word.symbols.size(); ++i, ++to) {
      const bool hit =
          i + 1 < word.symbols.size() && word.symbols[i] == pair.first && word.symbols[i + 1] == pair.second;
      word.symbols[to] = hit ? symbol : word.symbols[i];
      i += hit ? 1 : 0;
    }
    word.symbols.resize(to);
  }
}

}  // namespace

BpeVocabulary trainBpe(const std::vector<std::string_view>& texts, std::size_t size) {
  WordCounts counts;
  for (const std::string_view text : texts) {
    countWords(text, counts);
  }
  std::vector<Word> words = splitIntoBytes(counts);
  BpeVocabulary vocabulary;
  vocabulary.tokens = {"<|begin|>", "<|pad|>"};
  for (const std::string& symbol : byteAlphabet()) {
    vocabulary.tokens.push_back(symbol);
  }
  while (vocabulary.tokens.size() < size) {
    const std::pair<int, int> pair = mostFrequentPair(words);
    if (pair.first < 0) {
      break;
    }
    const std::string left = vocabulary.tokens[static_cast<std::size_t>(pair.first)];
    const std::string right = vocabulary.tokens[static_cast<std::size_t>(pair.second)];
    merge(words, pair, static_cast<int>(vocabulary.tokens.size()));
    vocabulary.tokens.push_back(left + right);
    vocabulary.merges.emplace_back(left, right);
  }
  return vocabulary;
}

void writeTokenizer(const BpeVocabulary& vocabulary, const std::filesystem::path& path) {
  OrderedJson vocab = OrderedJson::object();
  for (std::size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    vocab[vocabulary.tokens[id]] = id;
  }
  OrderedJson merges = OrderedJson::array();
  for (const auto& [left, right] : vocabulary.merges) {
    merges.push_back({left, right});
  }
  OrderedJson added = OrderedJson::array();
  for (int id = 0; id < kSpecials; ++id) {
    added.push_back({{"id", id},
                     {"content", vocabulary.tokens[static_cast<std::size_t>(id)]},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", true}});
  }
  const OrderedJson byteLevel = {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", false}};
  const OrderedJson split = {
      {"type", "Split"}, {"pattern", {{"Regex", kSplitPattern}}}, {"behavior", "Isolated"}, {"invert", false}};
  OrderedJson file;
  file["version"] = "1.0";
  file["truncation"] = nullptr;
  file["padding"] = nullptr;
  file["added_tokens"] = added;
  file["normalizer"] = nullptr;
  file["pre_tokenizer"] = {{"type", "Sequence"}, {"pretokenizers", OrderedJson::array({split, byteLevel})}};
  file["post_processor"] = {
      {"type", "TemplateProcessing"},
      {"single", OrderedJson::array({{{"SpecialToken", {{"id", "<|begin|>"}, {"type_id", 0}}}},
                                     {{"Sequence", {{"id", "A"}, {"type_id", 0}}}}})},
      {"pair", OrderedJson::array(
                   {{{"Sequence", {{"id", "A"}, {"type_id", 0}}}}, {{"Sequence", {{"id", "B"}, {"type_id", 1}}}}})},
      {"special_tokens",
       {{"<|begin|>",
         {{"id", "<|begin|>"}, {"ids", OrderedJson::array({0})}, {"tokens", OrderedJson::array({"<|begin|>"})}}}}}};
  file["decoder"] = byteLevel;
  file["model"] = {{"type", "BPE"},
                   {"dropout", nullptr},
                   {"unk_token", nullptr},
                   {"continuing_subword_prefix", nullptr},
                   {"end_of_word_suffix", nullptr},
                   {"fuse_unk", false},
                   {"byte_fallback", false},
                   {"ignore_merges", false},
                   {"vocab", vocab},
                   {"merges", merges}};
  writeFile(path, file.dump(1, '\t') + "\n");
}

}  // namespace headscope::demo
