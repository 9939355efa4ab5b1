// Random damage to sound tokenizers: they load or are refused, and what loads encodes and decodes. Run under
// AddressSanitizer and UBSan by -DHEADSCOPE_SANITIZE=address,undefined.

#include <QTemporaryDir>
#include <QtTest>
#include <filesystem>

#include "core/base/error.h"
#include "core/base/text.h"
#include "core/files/atomic_file.h"
#include "core/files/json.h"
#include "core/tokenizer/tokenizer.h"
#include "tests/support/mutations.h"

using namespace headscope;
using namespace headscope::test;
namespace fs = std::filesystem;

namespace {

const fs::path kCommitted = fs::path(HEADSCOPE_SOURCE) / "tests" / "golden" / "tokenizers";
constexpr int kTrials = 1500;

// The parts in front of the vocabulary.
std::size_t headerBytes(const std::string& content) {
  return std::min(content.find("\"vocab\""), content.size());
}

// True if the file loads.
bool use(const fs::path& file, const std::string& text) {
  try {
    const auto tokenizer = Tokenizer::open(file);
    const Encoding encoding = tokenizer->encode(text);
    for (const auto& [begin, end] : encoding.offsets) {
      if (begin > text.size() || end > text.size()) {
        throw std::logic_error("an offset lies outside the text");
      }
    }
    for (const std::int64_t id : encoding.ids) {
      if (!isUtf8(tokenizer->displayText(id))) {
        throw std::logic_error("a label is not valid UTF-8");
      }
    }
    if (!isUtf8(tokenizer->decode(encoding.ids))) {
      throw std::logic_error("the decoded text is not valid UTF-8");
    }
    return true;
  } catch (const Error&) {
    return false;
  }
}

}  // namespace

class TestTokenizerMutations : public QObject {
  Q_OBJECT

 private slots:
  void damagedFiles_data();
  void damagedFiles();
};

void TestTokenizerMutations::damagedFiles_data() {
  QTest::addColumn<QString>("name");
  for (const char* name : {"llama3", "qwen2", "llama2_legacy", "gemma", "flags_nfc", "rare_strip_accents"}) {
    QTest::newRow(name) << name;
  }
}

void TestTokenizerMutations::damagedFiles() {
  QFETCH(QString, name);
  const QTemporaryDir folder;
  const fs::path file = fs::path(folder.path().toStdString()) / "tokenizer.json";
  const std::string sound = readFile(kCommitted / (name.toStdString() + ".json"));
  std::string text;
  for (const Json& one : readJson(kCommitted / "texts.json")) {
    text += one.get<std::string>() + " ";
  }
  Mutator mutator(static_cast<std::uint64_t>(name.size()) * 1000 + 7);
  int loaded = 0;
  for (int trial = 0; trial < kTrials; ++trial) {
    writeFile(file, mutator.damage(sound, headerBytes(sound)));
    loaded += use(file, text) ? 1 : 0;
  }
  // Both ways out must have been taken.
  QVERIFY(loaded > 0);
  QVERIFY(loaded < kTrials);
}

QTEST_GUILESS_MAIN(TestTokenizerMutations)
#include "tst_tokenizer_mutations.moc"
