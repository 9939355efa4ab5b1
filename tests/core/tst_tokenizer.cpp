// The tokenizer against the tokenizers library and llama.cpp: ids, token texts, offsets and decoding must match
// exactly.

#include <sys/resource.h>

#include <QTemporaryDir>
#include <QtTest>
#include <filesystem>

#include "core/base/error.h"
#include "core/base/text.h"
#include "core/files/atomic_file.h"
#include "core/files/json.h"
#include "core/tokenizer/tokenizer.h"
#include "tests/support/broken_models.h"
#include "tests/support/tokenizer_cases.h"

using namespace headscope;
using namespace headscope::test;
namespace fs = std::filesystem;

namespace {

const fs::path kShared = fs::path(HEADSCOPE_SHARED) / "models";
const fs::path kCommitted = fs::path(HEADSCOPE_SOURCE) / "tests" / "golden" / "tokenizers";

// Differences found in one data row; the first few are shown.
class Report {
 public:
  void compare(const char* what, const std::string& text, const Json& expected, const Json& actual) {
    ++checks_;
    if (expected != actual && differences_++ < 3) {
      qWarning("%s of %s:\n expected %s\n actual   %s", what, Json(text).dump().c_str(),
               expected.dump().substr(0, 600).c_str(), actual.dump().substr(0, 600).c_str());
    }
  }
  void finish() const {
    QVERIFY(checks_ > 0);
    QCOMPARE(differences_, 0);
  }

 private:
  int checks_ = 0;
  int differences_ = 0;
};

void checkCase(const Tokenizer& tokenizer, const std::string& text, const Json& golden, bool offsetsCount,
               Report& report) {
  const Encoding encoding = tokenizer.encode(text);
  report.compare("ids", text, golden.at("ids"), encoding.ids);
  report.compare("tokens", text, golden.at("tokens"), encoding.tokens);
  if (offsetsCount) {
    report.compare("offsets", text, golden.at("offsets"), codePointOffsets(text, encoding));
  }
  const auto ids = golden.at("ids").get<std::vector<std::int64_t>>();
  report.compare("decode", text, golden.at("decode"), tokenizer.decode(ids));
  report.compare("decode_skip", text, golden.at("decode_skip"), tokenizer.decode(ids, true));
  const Json& plain = golden.value("ids_without_template", golden.at("ids"));
  report.compare("ids_without_template", text, plain, tokenizer.encode(text, Bos::Off).ids);
  report.compare("ids_specials_as_text", text, golden.value("ids_specials_as_text", plain),
                 tokenizer.encode(text, Bos::Off, false).ids);
}

// "random": ids, and lists of hashes.
void checkRandom(const Tokenizer& tokenizer, const Json& texts, const Json& golden, bool offsetsCount, Report& report) {
  const Json& all = golden.at("ids");
  for (std::size_t i = 0; i < all.size(); ++i) {
    const auto text = texts[i].get<std::string>();
    const Encoding encoding = tokenizer.encode(text);
    report.compare("ids", text, all[i], encoding.ids);
    for (const auto& [key, hashes] : golden.items()) {
      if (key.find("offsets") != std::string::npos && offsetsCount) {
        report.compare(key.c_str(), text, hashes[i], fnv(codePointOffsets(text, encoding)));
      } else if (key.find("decode") != std::string::npos) {
        const bool skip = key.find("skip") != std::string::npos;
        report.compare(key.c_str(), text, hashes[i], fnv(tokenizer.decode(encoding.ids, skip)));
      }
    }
  }
}

void checkLong(const Tokenizer& tokenizer, const Json& golden, Report& report) {
  for (const Json& one : golden) {
    const auto unit = one.at("unit").get<std::string>();
    std::string text;
    for (int i = 0; i < one.at("repeat").get<int>(); ++i) {
      text += unit;
    }
    const Encoding encoding = tokenizer.encode(text);
    report.compare("number of ids", unit, one.at("ids_count"), encoding.ids.size());
    report.compare("hash of ids", unit, one.at("ids_fnv"), fnv(encoding.ids));
  }
}

std::string problemOf(const fs::path& path) {
  try {
    Tokenizer::open(path)->encode("hello the e aaaaaaaaaaaaaaaaaaaaaaaaaaab");
  } catch (const Error& error) {
    return error.what();
  }
  return {};
}

long peakKilobytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

class TokenizerTest : public QObject {
  Q_OBJECT

 private slots:
  void sharedStacks_data();
  void sharedStacks();
  void committedStacks_data();
  void committedStacks();
  void variants();
  void stories();
  void utf8();
  void sentencePieceGguf_data();
  void sentencePieceGguf();
  void smolLm2Gguf();
  void broken_data();
  void broken();
};

void TokenizerTest::sharedStacks_data() {
  if (!fs::exists(kShared / "tokenizers" / "strings.json")) {
    QSKIP("shared/models/tokenizers is not here");
  }
  QTest::addColumn<QString>("name");
  for (const auto& entry : fs::directory_iterator(kShared / "tokenizers")) {
    if (fs::exists(entry.path() / "cases.json")) {
      const std::string name = entry.path().filename();
      QTest::newRow(name.c_str()) << QString::fromStdString(name);
    }
  }
}

void TokenizerTest::sharedStacks() {
  QFETCH(QString, name);
  const fs::path folder = kShared / "tokenizers" / name.toStdString();
  const auto tokenizer = Tokenizer::open(folder);
  const Json texts = readJson(kShared / "tokenizers" / "strings.json");
  const Json cases = readJson(folder / "cases.json");
  const bool offsetsCount = name != "rare_no_unk";  // the library's are wrong there, see the README
  Report report;
  for (std::size_t i = 0; i < cases.at("hard").size(); ++i) {
    checkCase(*tokenizer, texts.at("hard")[i], cases.at("hard")[i], offsetsCount, report);
  }
  for (const Json& own : cases.at("own")) {
    checkCase(*tokenizer, own.at("text"), own, offsetsCount, report);
  }
  checkRandom(*tokenizer, texts.at("random"), cases.at("random"), offsetsCount, report);
  checkLong(*tokenizer, cases.value("long", Json::array()), report);
  report.finish();
}

void TokenizerTest::committedStacks_data() {
  QTest::addColumn<QString>("name");
  const Json all = readJson(kCommitted / "cases.json");
  for (const auto& [name, cases] : all.items()) {
    QTest::newRow(name.c_str()) << QString::fromStdString(name);
  }
}

void TokenizerTest::committedStacks() {
  QFETCH(QString, name);
  const auto tokenizer = Tokenizer::open(kCommitted / (name.toStdString() + ".json"));
  const Json texts = readJson(kCommitted / "texts.json");
  const Json all = readJson(kCommitted / "cases.json");
  const Json& cases = all.at(name.toStdString());
  Report report;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    checkCase(*tokenizer, texts[i], cases[i], true, report);
  }
  report.finish();
}

void TokenizerTest::variants() {
  const QTemporaryDir folder;
  const fs::path file = fs::path(folder.path().toStdString()) / "tokenizer.json";
  const Json texts = readJson(kCommitted / "texts.json");
  const Json variants = readJson(kCommitted / "variants.json");
  QVERIFY(variants.size() > 50);
  for (const Json& variant : variants) {
    Json config = readJson(kCommitted / (variant.at("base").get<std::string>() + ".json"));
    for (const auto& [key, value] : variant.at("changes").items()) {
      if (key == "model") {
        config["model"].update(value);
      } else {
        config[key] = value;
      }
    }
    writeFile(file, config.dump());
    const auto tokenizer = Tokenizer::open(file);
    Report report;
    for (std::size_t i = 0; i < texts.size(); ++i) {
      const auto text = texts[i].get<std::string>();
      const Json& golden = variant.at("cases")[i];
      const Encoding encoding = tokenizer->encode(text);
      const std::string what = variant.at("name").get<std::string>() + ": ";
      report.compare((what + "ids").c_str(), text, golden.at("ids"), encoding.ids);
      report.compare((what + "offsets").c_str(), text, golden.at("offsets_fnv"), fnv(codePointOffsets(text, encoding)));
      report.compare((what + "decode").c_str(), text, golden.at("decode_fnv"), fnv(tokenizer->decode(encoding.ids)));
    }
    report.finish();
  }
}

void TokenizerTest::stories() {
  const fs::path folder = kShared / "stories260K";
  if (!fs::exists(folder)) {
    QSKIP("shared/models/stories260K is not here");
  }
  const auto tokenizer = Tokenizer::open(folder);
  QCOMPARE(tokenizer->bos(), std::optional<std::int64_t>(1));
  Report report;
  for (const Json& one : readJson(folder / "golden_tokenizer.json")) {
    const auto text = one.at("text").get<std::string>();
    report.compare("ids", text, one.at("ids"), tokenizer->encode(text).ids);
    report.compare("decode", text, one.at("decode"), tokenizer->decode(tokenizer->encode(text).ids, true));
  }
  report.finish();
}

void TokenizerTest::utf8() {
  const fs::path file = kShared / "tokenizers" / "utf8.json";
  if (!fs::exists(file)) {
    QSKIP("shared/models/tokenizers is not here");
  }
  const auto tokenizer = Tokenizer::open(kCommitted / "llama3.json");
  const Json cases = readJson(file);
  const auto bytes = [](const Json& hex) {
    return QByteArray::fromHex(QByteArray::fromStdString(hex.get<std::string>())).toStdString();
  };
  for (const Json& hex : cases.at("valid")) {
    const std::string text = bytes(hex);
    QCOMPARE(tokenizer->decode(tokenizer->encode(text, Bos::Off).ids), text);
  }
  for (const Json& hex : cases.at("invalid")) {
    QVERIFY_EXCEPTION_THROWN(tokenizer->encode(bytes(hex)), Error);
  }
}

void TokenizerTest::sentencePieceGguf_data() {
  const fs::path folder = kShared / "gguf-types" / "models";
  if (!fs::exists(folder)) {
    QSKIP("shared/models/gguf-types is not here");
  }
  QTest::addColumn<QString>("path");
  for (const auto& entry : fs::directory_iterator(folder)) {
    QTest::newRow(entry.path().stem().c_str()) << QString::fromStdString(entry.path());
  }
}

void TokenizerTest::sentencePieceGguf() {
  QFETCH(QString, path);
  const auto tokenizer = Tokenizer::open(path.toStdString());
  Report report;
  for (const Json& one : readJson(kShared / "gguf-types" / "spm_tokens.json")) {
    const auto text = one.at("text").get<std::string>();
    report.compare("ids", text, one.at("ids"), tokenizer->encode(text).ids);
    report.compare("ids without special tokens", text, one.at("ids_without_special"),
                   tokenizer->encode(text, Bos::Auto, false).ids);
  }
  report.finish();
}

void TokenizerTest::smolLm2Gguf() {
  const QByteArray path = qgetenv("HEADSCOPE_SMOLLM2_GGUF");
  const fs::path golden = kShared / "smollm2-gguf" / "tokens.json";
  if (path.isEmpty() || !fs::exists(golden)) {
    QSKIP("set HEADSCOPE_SMOLLM2_GGUF to the file that shared/models/smollm2-gguf/README.md names");
  }
  const auto tokenizer = Tokenizer::open(path.toStdString());
  Report report;
  for (const Json& one : readJson(golden)) {
    const auto text = one.at("text").get<std::string>();
    report.compare("ids", text, one.at("ids"), tokenizer->encode(text).ids);
    report.compare("ids without special tokens", text, one.value("ids_without_special", one.at("ids")),
                   tokenizer->encode(text, Bos::Auto, false).ids);
  }
  report.finish();
}

void TokenizerTest::broken_data() {
  const auto cases = brokenCases("tokenizer");
  if (cases.empty()) {
    QSKIP("shared/models/broken is not here");
  }
  QTest::addColumn<QString>("path");
  QTest::addColumn<QString>("expect");
  for (const BrokenCase& one : cases) {
    QTest::newRow((one.id + ": " + one.wrong).c_str())
        << QString::fromStdString(one.path) << QString::fromStdString(one.expect);
  }
}

void TokenizerTest::broken() {
  QFETCH(QString, path);
  QFETCH(QString, expect);
  const fs::path folder = path.toStdString();
  const long before = peakKilobytes();
  const std::string problem = problemOf(folder);
  QVERIFY(peakKilobytes() - before < 200 * 1024);
  if (expect == "load") {
    QCOMPARE(problem, std::string());
  } else {
    QVERIFY2(problem.find((folder / "tokenizer.json").string()) == 0, problem.c_str());
    QVERIFY(problem.find('\n') == std::string::npos);
    QVERIFY(isUtf8(problem));
    QVERIFY(problem.size() < 1000);
  }
}

}  // namespace

QTEST_GUILESS_MAIN(TokenizerTest)
#include "tst_tokenizer.moc"
