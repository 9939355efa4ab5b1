// What the golden files don't show: readable token texts, BOS, notes, GGUF vocabularies, errors, threads, very
// long words, regular expressions.

#include <QTemporaryDir>
#include <QtTest>
#include <atomic>
#include <filesystem>
#include <thread>

#include "core/base/error.h"
#include "core/base/text.h"
#include "core/files/atomic_file.h"
#include "core/files/json.h"
#include "core/tokenizer/detail/decoder.h"
#include "core/tokenizer/detail/regex.h"
#include "core/tokenizer/detail/regex_syntax.h"
#include "core/tokenizer/tokenizer.h"

using namespace headscope;
namespace fs = std::filesystem;

namespace {

using Ids = std::vector<std::int64_t>;
using Texts = std::vector<std::string>;

const fs::path kCommitted = fs::path(HEADSCOPE_SOURCE) / "tests" / "golden" / "tokenizers";

Json committed(const std::string& name) {
  return readJson(kCommitted / (name + ".json"));
}

class Folder {
 public:
  fs::path path() const { return folder_.path().toStdString(); }
  std::shared_ptr<const Tokenizer> open(const Json& tokenizerJson) const {
    writeFile(path() / "tokenizer.json", tokenizerJson.dump());
    return Tokenizer::open(path());
  }
  /// What open() says about it; empty if it loads.
  std::string problem(const Json& tokenizerJson) const {
    try {
      open(tokenizerJson);
    } catch (const Error& error) {
      return error.what();
    }
    return {};
  }

 private:
  QTemporaryDir folder_;
};

Texts split(const char* regex, std::string_view text) {
  std::vector<detail::Match> parts;
  detail::Pattern::regex(regex, "test").find(text, parts);
  Texts texts;
  for (const detail::Match& part : parts) {
    texts.emplace_back(text.substr(part.begin, part.end - part.begin));
  }
  return texts;
}

std::string regexProblem(const char* regex) {
  try {
    detail::Pattern::regex(regex, "file");
  } catch (const Error& error) {
    return error.what();
  }
  return {};
}

std::string repeated(std::string_view unit, std::size_t times) {
  std::string text;
  for (std::size_t i = 0; i < times; ++i) {
    text += unit;
  }
  return text;
}

// A SentencePiece-like vocabulary: <unk>, <s>, </s>, all bytes, and a few words.
GgufVocabulary sentencePiece() {
  GgufVocabulary vocabulary;
  vocabulary.where = "test.gguf";
  vocabulary.model = "llama";
  const auto add = [&](const std::string& token, float score, GgufTokenType type) {
    vocabulary.tokens.push_back(token);
    vocabulary.scores.push_back(score);
    vocabulary.tokenTypes.push_back(static_cast<std::int32_t>(type));
  };
  add("<unk>", 0, GgufTokenType::Unknown);
  add("<s>", 0, GgufTokenType::Control);
  add("</s>", 0, GgufTokenType::Control);
  for (int byte = 0; byte < 256; ++byte) {
    add(QString("<0x%1>").arg(byte, 2, 16, QChar('0')).toUpper().replace("X", "x").toStdString(), 0,
        GgufTokenType::Byte);
  }
  for (const char* token : {"▁", "a", "b", "c"}) {
    add(token, -10, GgufTokenType::Normal);
  }
  add("ab", -2, GgufTokenType::Normal);   // 263
  add("bc", -1, GgufTokenType::Normal);   // 264
  add("▁a", -3, GgufTokenType::Normal);   // 265
  add("abc", -4, GgufTokenType::Normal);  // 266
  add("[tool]", 0, GgufTokenType::UserDefined);
  return vocabulary;
}

// Byte-level: the alphabet of the committed llama3 tokenizer, its merges as one text each.
GgufVocabulary byteLevel(const std::string& pre) {
  const Json json = committed("llama3");
  GgufVocabulary vocabulary;
  vocabulary.where = "test.gguf";
  vocabulary.model = "gpt2";
  vocabulary.pre = pre;
  vocabulary.tokens.resize(json.at("model").at("vocab").size());
  for (const auto& [token, id] : json.at("model").at("vocab").items()) {
    vocabulary.tokens.at(id.get<std::size_t>()) = token;
  }
  vocabulary.tokenTypes.assign(vocabulary.tokens.size(), 1);
  for (const Json& token : json.at("added_tokens")) {
    vocabulary.tokens.push_back(token.at("content"));
    vocabulary.tokenTypes.push_back(3);
  }
  for (const Json& merge : json.at("model").at("merges")) {
    vocabulary.merges.push_back(merge[0].get<std::string>() + " " + merge[1].get<std::string>());
  }
  vocabulary.bos = 430;
  vocabulary.eos = 431;
  return vocabulary;
}

}  // namespace

class TestTokenizerTexts : public QObject {
  Q_OBJECT

 private slots:
  void readableTokens();
  void tokenBytes();
  void lossyDecoding();
  void bosOption();
  void configFile();
  void notes();
  void unusualFiles();
  void refusedFiles();
  void offsetsAreBytes();
  void sentencePieceVocabulary();
  void byteLevelVocabulary();
  void longestSpecialTokenFirst();
  void refusedVocabularies();
  void longWords();
  void manyThreads();
  void splits();
  void regexes();
  void refusedRegexes();
};

void TestTokenizerTexts::readableTokens() {
  const auto tokenizer = Tokenizer::open(kCommitted / "llama3.json");
  const Encoding encoding = tokenizer->encode("a é\n\t中", Bos::Off);
  std::string shown;
  for (const std::int64_t id : encoding.ids) {
    shown += tokenizer->displayText(id) + "|";
  }
  QCOMPARE(shown, std::string("a|␣|<0xC3>|<0xA9>|⏎|⇥|<0xE4>|<0xB8>|<0xAD>|"));
  QCOMPARE(tokenizer->pieces(encoding.ids),
           (Texts{"a", " ", "<0xC3>", "<0xA9>", "\n", "\t", "<0xE4>", "<0xB8>", "<0xAD>"}));
  QCOMPARE(tokenizer->displayText(430), std::string("<|begin_of_text|>"));
  QCOMPARE(tokenizer->displayText(99999), std::string("<id 99999>"));
  QCOMPARE(tokenizer->displayText(-1), std::string("<id -1>"));
  const auto spm = Tokenizer::open(kCommitted / "llama2_legacy.json");
  QCOMPARE(spm->displayText(*spm->id("▁")), std::string("␣"));
  QCOMPARE(spm->displayText(*spm->id("<0x0D>")), std::string("<0x0D>"));
  for (std::int64_t id = 0; id < static_cast<std::int64_t>(spm->size()); ++id) {
    QVERIFY(isUtf8(spm->displayText(id)));
  }
}

void TestTokenizerTexts::tokenBytes() {
  const std::string text = "naïve 中文 \U0001F600\r\n the end";
  for (const char* name : {"llama3", "qwen2", "llama2_legacy", "gemma"}) {
    const auto tokenizer = Tokenizer::open(kCommitted / (std::string(name) + ".json"));
    std::string bytes;
    for (const std::int64_t id : tokenizer->encode(text, Bos::Off).ids) {
      bytes += tokenizer->tokenBytes(id);
    }
    const bool prefixed = std::string(name) == "llama2_legacy";
    QCOMPARE(bytes, (prefixed ? " " : "") + text);
  }
}

void TestTokenizerTexts::lossyDecoding() {
  // https://www.unicode.org/versions/Unicode15.0.0/ch03.pdf, tables 3-8 to 3-11
  const std::string bad = "\xEF\xBF\xBD";
  QCOMPARE(detail::lossyUtf8("\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41"), repeated(bad, 8) + "A");
  QCOMPARE(detail::lossyUtf8("\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41"), repeated(bad, 8) + "A");
  QCOMPARE(detail::lossyUtf8("\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42"), repeated(bad, 5) + "A" + bad + bad + "B");
  QCOMPARE(detail::lossyUtf8("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41"), repeated(bad, 4) + "A");
  QCOMPARE(detail::lossyUtf8("a\xF0\x9F\x98"), "a" + bad);
  const auto tokenizer = Tokenizer::open(kCommitted / "llama2_legacy.json");
  const auto byte = [&](const char* token) { return tokenizer->id(token).value(); };
  const Ids euro = {byte("<0xE2>"), byte("<0x82>"), byte("<0xAC>")};
  QCOMPARE(tokenizer->decode(euro), std::string("€"));
  QCOMPARE(tokenizer->decode(Ids{euro[0], euro[1], euro[2], byte("<0xFF>")}), repeated(bad, 4));
  QVERIFY_EXCEPTION_THROWN(tokenizer->decode(Ids{-1}), Error);
  QCOMPARE(tokenizer->decode(Ids{100000}), std::string());
}

void TestTokenizerTexts::bosOption() {
  const auto adds = Tokenizer::open(kCommitted / "llama3.json");
  QCOMPARE(adds->bos(), std::optional<std::int64_t>(430));
  QCOMPARE(adds->encode("a").ids, (Ids{430, 64}));
  QCOMPARE(adds->addedBefore(), (Ids{430}));
  QCOMPARE(adds->addedAfter(), Ids{});
  QCOMPARE(adds->encode("a", Bos::On).ids, (Ids{430, 64}));
  QCOMPARE(adds->encode("a", Bos::Off).ids, (Ids{64}));
  // A typed BOS is one more, as in the library.
  QCOMPARE(adds->encode("<|begin_of_text|>a", Bos::On).ids, (Ids{430, 430, 64}));
  const auto addsNone = Tokenizer::open(kCommitted / "qwen2.json");
  QVERIFY(!addsNone->bos());
  QCOMPARE(addsNone->addedBefore(), Ids{});
  QVERIFY_EXCEPTION_THROWN(addsNone->encode("a", Bos::On), Error);
}

void TestTokenizerTexts::configFile() {
  const Folder folder;
  writeFile(folder.path() / "tokenizer_config.json",
            R"({"bos_token":{"content":"<|im_start|>"},"eos_token":"<|endoftext|>","add_bos_token":true})");
  const auto tokenizer = folder.open(committed("qwen2"));
  QCOMPARE(tokenizer->bos(), tokenizer->id("<|im_start|>"));
  QCOMPARE(tokenizer->eos(), tokenizer->id("<|endoftext|>"));
  QCOMPARE(tokenizer->encode("a").ids, (Ids{64}));
  const Encoding encoding = tokenizer->encode("a", Bos::On);
  QCOMPARE(encoding.ids, (Ids{tokenizer->id("<|im_start|>").value(), 64}));
  QCOMPARE(encoding.tokens, (Texts{"<|im_start|>", "a"}));
  QCOMPARE(encoding.offsets[0], (std::pair<std::size_t, std::size_t>(0, 0)));
  QCOMPARE(tokenizer->notes().size(), std::size_t{1});
  writeFile(folder.path() / "tokenizer_config.json", "{");
  QCOMPARE(folder.open(committed("qwen2"))->notes().size(), std::size_t{1});
}

void TestTokenizerTexts::notes() {
  const Folder folder;
  Json json = committed("qwen2");
  QVERIFY(folder.open(json)->notes().empty());
  json["truncation"] = {{"max_length", 3}, {"strategy", "LongestFirst"}, {"stride", 0}, {"direction", "Right"}};
  json["padding"] = {{"strategy", {{"Fixed", 20}}}};
  const auto tokenizer = folder.open(json);
  QCOMPARE(tokenizer->notes().size(), std::size_t{2});
  QCOMPARE(tokenizer->encode("a b c d e").ids.size(), std::size_t{5});
  json = committed("qwen2");
  json["added_tokens"][0]["id"] = 777;
  QCOMPARE(folder.open(json)->notes().size(), std::size_t{1});
  QCOMPARE(folder.open(json)->id("<|endoftext|>"), std::optional<std::int64_t>(430));
}

void TestTokenizerTexts::unusualFiles() {
  const Folder folder;
  Json json = committed("llama3");
  for (const char* key : {"version", "added_tokens", "normalizer", "truncation", "padding", "post_processor"}) {
    json.erase(key);
  }
  json["model"].erase("type");
  QCOMPARE(folder.open(json)->encode("the").ids, (Ids{*folder.open(json)->id("the")}));
  QCOMPARE(folder.open(json)->kind(), std::string("byte-level BPE"));
  QVERIFY(Tokenizer::openIfPresent(folder.path()) != nullptr);
  fs::remove(folder.path() / "tokenizer.json");
  QVERIFY(Tokenizer::openIfPresent(folder.path()) == nullptr);
  writeFile(folder.path() / "tokenizer.model", "x");
  QVERIFY_EXCEPTION_THROWN(Tokenizer::open(folder.path()), Error);
}

void TestTokenizerTexts::refusedFiles() {
  const Folder folder;
  const auto problem = [&](const Json& patch) {
    Json json = committed("llama2_legacy");
    json.merge_patch(patch);
    const std::string text = folder.problem(json);
    return text.find((folder.path() / "tokenizer.json").string()) == 0 && text.find('\n') == std::string::npos;
  };
  QVERIFY(!problem(Json::object()));
  QVERIFY(problem({{"version", "2.0"}}));
  QVERIFY(problem({{"model", {{"type", "Unigram"}}}}));
  QVERIFY(problem({{"model", {{"vocab", {{"a", -1}}}}}}));
  QVERIFY(problem({{"model", {{"vocab", {{"a", 4000000000u}}}}}}));
  QVERIFY(problem({{"model", {{"vocab", {{"a", 1.5}}}}}}));
  QVERIFY(problem({{"model", {{"merges", {1, 2}}}}}));
  QVERIFY(problem({{"model", {{"merges", {"t h", Json::array({"t", "h"})}}}}}));
  QVERIFY(problem({{"model", {{"byte_fallback", 1}}}}));
  QVERIFY(problem({{"added_tokens", 3}}));
  QVERIFY(problem({{"added_tokens", {{{"id", 1}, {"content", "x"}}}}}));
  QVERIFY(problem({{"normalizer", {{"type", "Sequence"}, {"normalizers", {nullptr}}}}}));
  QVERIFY(problem({{"normalizer", "NFC"}}));
  QVERIFY(problem(
      {{"pre_tokenizer", {{"type", "Split"}, {"pattern", {{"Regex", "a"}}}, {"behavior", "Odd"}, {"invert", false}}}}));
  QVERIFY(problem({{"pre_tokenizer", {{"type", "Metaspace"}, {"replacement", "▁"}, {"add_prefix_space", false}}}}));
  QVERIFY(problem({{"pre_tokenizer", {{"type", "Metaspace"}, {"replacement", "ab"}}}}));
  QVERIFY(problem({{"decoder", {{"type", "Strip"}, {"content", " "}, {"start", -1}, {"stop", 0}}}}));
  QVERIFY(problem({{"post_processor", {{"type", "RobertaProcessing"}, {"sep", {"a"}}, {"cls", {"a", 1}}}}}));
  // A missing unknown token is noticed only when it is needed.
  Json json = committed("llama2_legacy");
  json["model"]["unk_token"] = "<none>";
  json["model"]["byte_fallback"] = false;
  const auto tokenizer = folder.open(json);
  tokenizer->encode("the");
  QVERIFY_EXCEPTION_THROWN(tokenizer->encode("\U0001F600"), Error);
}

void TestTokenizerTexts::offsetsAreBytes() {
  const auto tokenizer = Tokenizer::open(kCommitted / "qwen2.json");
  const std::string text = "e\u0301 中<|im_end|>x";
  const Encoding encoding = tokenizer->encode(text);
  QCOMPARE(encoding.offsets.size(), encoding.ids.size());
  std::size_t last = 0;
  for (const auto& [begin, end] : encoding.offsets) {
    QVERIFY(begin >= last && begin < end && end <= text.size());
    QVERIFY(isUtf8(text.substr(begin, end - begin)));
    last = begin;
  }
  // A composed character lies where its first part was.
  QCOMPARE(encoding.offsets.front(), (std::pair<std::size_t, std::size_t>(0, 1)));
  QCOMPARE(text.substr(encoding.offsets.back().first), std::string("x"));
}

void TestTokenizerTexts::sentencePieceVocabulary() {
  const auto tokenizer = Tokenizer::fromGguf(sentencePiece());
  QCOMPARE(tokenizer->kind(), std::string("SentencePiece-like (scores, byte fallback)"));
  // "▁abc": bc (-1) goes first, then ▁a (-3) before abc (-4).
  QCOMPARE(tokenizer->encode("abc").tokens, (Texts{"<s>", "▁a", "bc"}));
  QCOMPARE(tokenizer->encode("ab").tokens, (Texts{"<s>", "▁", "ab"}));
  QCOMPARE(tokenizer->encode("é").tokens, (Texts{"<s>", "▁", "<0xC3>", "<0xA9>"}));
  QCOMPARE(tokenizer->encode("").tokens, (Texts{"<s>"}));
  // After a special token there is a new prefix; typed special tokens may be text.
  QCOMPARE(tokenizer->encode("a</s>a[tool]b").tokens, (Texts{"<s>", "▁a", "</s>", "▁a", "[tool]", "▁", "b"}));
  QCOMPARE(tokenizer->encode("<s>", Bos::Off, false).tokens.size(), std::size_t{4});
  QCOMPARE(tokenizer->encode("[tool]", Bos::Off, false).tokens, (Texts{"[tool]"}));
  QCOMPARE(tokenizer->decode(tokenizer->encode("abc é").ids, true), std::string("abc é"));
  GgufVocabulary plain = sentencePiece();
  plain.addSpacePrefix = false;
  plain.addBos = false;
  plain.addEos = true;
  QCOMPARE(Tokenizer::fromGguf(plain)->encode("abc").tokens, (Texts{"abc", "</s>"}));
}

void TestTokenizerTexts::byteLevelVocabulary() {
  const auto reference = Tokenizer::open(kCommitted / "llama3.json");
  const auto tokenizer = Tokenizer::fromGguf(byteLevel("llama-bpe"));
  for (const Json& text : readJson(kCommitted / "texts.json")) {
    const auto input = text.get<std::string>();
    QCOMPARE(tokenizer->encode(input).ids, reference->encode(input).ids);
    QCOMPARE(tokenizer->encode(input).offsets, reference->encode(input).offsets);
  }
  GgufVocabulary whole;
  whole.where = "test.gguf";
  whole.tokenizerJson = committed("llama3").dump();
  QCOMPARE(Tokenizer::fromGguf(whole)->encode("x the").ids, reference->encode("x the").ids);
  QVERIFY(!Tokenizer::fromGguf(byteLevel(""))->notes().empty());
  QCOMPARE(Tokenizer::fromGguf(byteLevel("qwen2"))->encode("123").ids.size(), std::size_t{3});
}

void TestTokenizerTexts::longestSpecialTokenFirst() {
  GgufVocabulary vocabulary = sentencePiece();
  for (const char* token : {"<x>", "x><long>"}) {
    vocabulary.tokens.emplace_back(token);
    vocabulary.scores.push_back(0);
    vocabulary.tokenTypes.push_back(static_cast<std::int32_t>(GgufTokenType::Control));
  }
  // Leftmost-longest, as in tokenizer.json, would be "<x>" and then text.
  const Encoding encoding = Tokenizer::fromGguf(vocabulary)->encode("<x><long>", Bos::Off);
  QCOMPARE(encoding.tokens, (Texts{"▁", "<0x3C>", "x><long>"}));
}

void TestTokenizerTexts::refusedVocabularies() {
  const auto refused = [](GgufVocabulary vocabulary) {
    try {
      Tokenizer::fromGguf(std::move(vocabulary));
    } catch (const Error& error) {
      return std::string(error.what()).find("test.gguf") == 0;
    }
    return false;
  };
  GgufVocabulary vocabulary = sentencePiece();
  QVERIFY(!refused(vocabulary));
  vocabulary.tokens[300 % vocabulary.tokens.size()] = "ab";
  QVERIFY(refused(vocabulary));
  vocabulary = sentencePiece();
  vocabulary.scores.resize(5);
  QVERIFY(refused(vocabulary));
  vocabulary = sentencePiece();
  vocabulary.tokenTypes.resize(5);
  QVERIFY(refused(vocabulary));
  vocabulary = sentencePiece();
  vocabulary.model = "t5";
  QVERIFY(refused(vocabulary));
  vocabulary = byteLevel("no-such-rule");
  QVERIFY(refused(vocabulary));
  vocabulary = byteLevel("qwen2");
  vocabulary.merges[0] = "nospace";
  QVERIFY(refused(vocabulary));
  vocabulary = byteLevel("qwen2");
  vocabulary.addBos = true;
  vocabulary.bos = 1 << 20;
  QVERIFY(refused(vocabulary));
  vocabulary = byteLevel("qwen2");
  vocabulary.tokens[3] = "\xFF";
  vocabulary.tokens[4] = "";
  QVERIFY(!refused(vocabulary));
}

void TestTokenizerTexts::longWords() {
  const std::string text = repeated("ab", 500000);
  const auto byScore = Tokenizer::fromGguf(sentencePiece());
  QCOMPARE(byScore->encode(text, Bos::Off).ids.size(), std::size_t{500001});
  const auto byRank = Tokenizer::open(kCommitted / "llama2_legacy.json");
  QCOMPARE(byRank->decode(byRank->encode(text, Bos::Off).ids), text);
  // Cut at spaces or not, the result is the same.
  const Encoding words = byRank->encode("the lord  the", Bos::Off);
  const Encoding many = byRank->encode(repeated("the lord  the ", 1000), Bos::Off);
  for (std::size_t i = 0; i < words.ids.size(); ++i) {
    QCOMPARE(many.ids[i], words.ids[i]);
  }
}

void TestTokenizerTexts::manyThreads() {
  const auto tokenizer = Tokenizer::open(kCommitted / "llama3.json");
  const Json texts = readJson(kCommitted / "texts.json");
  std::vector<Ids> expected;
  for (const Json& text : texts) {
    expected.push_back(tokenizer->encode(text.get<std::string>()).ids);
  }
  std::atomic<int> wrong = 0;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] {
        for (int round = 0; round < 50; ++round) {
          for (std::size_t k = 0; k < texts.size(); ++k) {
            wrong += tokenizer->encode(texts[k].get<std::string>()).ids == expected[k] ? 0 : 1;
          }
        }
      });
    }
  }
  QCOMPARE(wrong.load(), 0);
}

// The golden splits of reference/models.md, section 4.3.
void TestTokenizerTexts::splits() {
  const std::string text = "I'M can't  go 12345\n\n  x=1;\tna\u00EFve\u2014ok\u00A0\u00A0HTMLParser e\u0301t  ";
  const char* llama3 =
      R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
  QCOMPARE(split(llama3, text), (Texts{"I",
                                       "'M",
                                       " can",
                                       "'t",
                                       " ",
                                       " go",
                                       " ",
                                       "123",
                                       "45",
                                       "\n\n",
                                       " ",
                                       " x",
                                       "=",
                                       "1",
                                       ";",
                                       "\tna\u00EFve",
                                       "\u2014ok",
                                       "\u00A0",
                                       "\u00A0HTMLParser",
                                       " e",
                                       "\u0301t",
                                       "  "}));
  const char* gpt2 = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
  QCOMPARE(split(gpt2, text), (Texts{"I",     "'",      "M",      " can",       "'t", " ",      " go",        " 12345",
                                     "\n\n ", " x",     "=",      "1",          ";",  "\t",     "na\u00EFve", "\u2014",
                                     "ok",    "\u00A0", "\u00A0", "HTMLParser", " e", "\u0301", "t",          "  "}));
}

void TestTokenizerTexts::regexes() {
  QCOMPARE(split(R"(\p{N}{1,3}+)", "a1234567"), (Texts{"a", "1234567"}));  // repeats, isn't possessive
  QCOMPARE(split(R"(a{,2}b)", "aaab"), (Texts{"a", "aab"}));
  QCOMPARE(split(R"([a-z&&[^aeiou]]+)", "hello"), (Texts{"h", "e", "ll", "o"}));
  QCOMPARE(split(R"([a-c[x-z]]+)", "abxm"), (Texts{"abx", "m"}));
  QCOMPARE(split(R"(\h+)", "xFF g"), (Texts{"x", "FF", " g"}));
  QCOMPARE(split(R"(a(?i)b|c)", "aBaCac"), (Texts{"aB", "aC", "ac"}));  // the option makes a group
  QCOMPARE(split(R"(\s)", "a\u180Eb"), (Texts{"a\u180Eb"}));
  QCOMPARE(split(R"(\w)", "\u00B2"), split(R"([^\w])", "\u00B2"));
  QCOMPARE(split(R"(\u00e9|\x{65})", "eé"), (Texts{"e", "é"}));
  QCOMPARE(split(R"(x$)", "x\nx"), (Texts{"x", "\n", "x"}));
  QCOMPARE(split(R"(\p{Han}+)", "。中\u30FC"), (Texts{"。", "中", "\u30FC"}));  // the script, not its extensions
  QCOMPARE(split(R"((?m:.)+)", "a\nb"), (Texts{"a\nb"}));
  QCOMPARE(split(R"(\p{L}+)", "a\U0001E5D1b"), (Texts{"a\U0001E5D1b"}));  // new in Unicode 16
  const std::string spaces = repeated(" ", 1000000) + "x";
  QCOMPARE(split(R"(\s+(?!\S)|\s+|x)", spaces).size(), std::size_t{3});
}

void TestTokenizerTexts::refusedRegexes() {
  for (const char* regex : {"(", ")", "[", "[a", "a\\", "(?~a)", "(?x)a", "(?W:a)", "\\p{InGreek}", "\\p{Nonsense}",
                            "\\pL", "[\\R]", "\\u12", "*", "(?<=a*)b"}) {
    const std::string problem = regexProblem(regex);
    QVERIFY2(problem.find("file: regular expression ") == 0, regex);
  }
  QVERIFY(!regexProblem(repeated("(", 100000).c_str()).empty());
  QVERIFY(!regexProblem((repeated("[a", 1000) + repeated("]", 1000)).c_str()).empty());
}

QTEST_GUILESS_MAIN(TestTokenizerTexts)
#include "tst_tokenizer_texts.moc"
