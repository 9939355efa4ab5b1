// Real and golden models through the command line: what acceptance does, done here first.

#include <QTemporaryDir>
#include <QtTest>
#include <cmath>

#include "core/files/atomic_file.h"
#include "core/files/npy.h"
#include "tests/support/cli_process.h"
#include "tests/support/compare.h"
#include "tests/support/golden_tensors.h"

using namespace headscope;
using namespace headscope::test;

class TstCliModels : public QObject {
  Q_OBJECT

 private:
  QTemporaryDir folder_;
  QString path(const QString& name) const { return folder_.filePath(name); }

 private Q_SLOTS:
  void generatesStories();
  void agreesOnStories();
  void tokenizesStories();
  void tellsWhatAModelHolds();
  void runsTwiceToTheSameBytes();
  void worksWithoutATokenizer();
  void analyzesACorpus();
  void verifies();
};

void TstCliModels::generatesStories() {
  const QString model = shared("models/stories260K");
  if (!QFile::exists(model)) {
    QSKIP("stories260K (../shared/models) is not here");
  }
  const CliResult result = cli({"generate", model, "-n", "200", "--text", "Once upon a time", "--json"});
  QVERIFY2(result.failedWith(0), result.report());
  const Json golden = readJson((model + "/golden_text.json").toStdString());
  const auto expected = golden.at("ids").get<std::vector<std::int64_t>>();
  const auto prompt = golden.at("prompt_ids").get<std::vector<std::int64_t>>();
  auto ids = prompt;
  const auto made = result.json().at("ids").get<std::vector<std::int64_t>>();
  ids.insert(ids.end(), made.begin(), made.end());
  // The golden file counts 200 steps from the first token, so its new ids are fewer than 200.
  QVERIFY(ids.size() >= expected.size());
  ids.resize(expected.size());
  QCOMPARE(ids, expected);
  const std::string text = golden.at("prompt").get<std::string>() + result.json().at("text").get<std::string>();
  QVERIFY(text.starts_with(golden.at("text").get<std::string>()));
  const CliResult plain = cli({"generate", model, "-n", "5", "--text", "Once upon a time"});
  QCOMPARE(plain.out, QByteArray(", there was a l\n").replace(" l", " little"));
  const CliResult warm =
      cli({"generate", model, "-n", "20", "--text", "Once", "--temperature", "1", "--seed", "7", "--json"});
  const CliResult again =
      cli({"generate", model, "-n", "20", "--text", "Once", "--temperature", "1", "--seed", "7", "--json"});
  const CliResult other =
      cli({"generate", model, "-n", "20", "--text", "Once", "--temperature", "1", "--seed", "8", "--json"});
  QCOMPARE(warm.out, again.out);
  QVERIFY(warm.out != other.out);
}

void TstCliModels::agreesOnStories() {
  const QString model = shared("models/stories260K");
  if (!QFile::exists(model)) {
    QSKIP("stories260K (../shared/models) is not here");
  }
  const auto golden = SafetensorsFile::open((model + "/golden.safetensors").toStdString());
  writeFile(path("prompt.txt").toStdString(), golden->metadata().at("prompt"));
  const CliResult result = cli({"run", model, "--text-file", path("prompt.txt"), "--logits", path("l.npy"), "--out",
                                path("c.safetensors"), "--values", "--json"});
  QVERIFY2(result.failedWith(0), result.report());
  const GoldenTensor logits = goldenTensor(*golden, "logits");
  const std::vector<double> found = readNpy(path("l.npy").toStdString()).numbers();
  QCOMPARE(found.size(), logits.values.size());
  QVERIFY(difference(found, logits.values) <= 1e-4 * largest(logits.values));
  // The loss is the mean cross entropy of those logits.
  const std::vector<std::int64_t> ids = goldenIds(*golden);
  const std::size_t vocab = std::size_t(logits.shape[1]);
  double sum = 0;
  for (std::size_t t = 0; t + 1 < ids.size(); ++t) {
    double total = 0;
    for (std::size_t v = 0; v < vocab; ++v) {
      total += std::exp(logits.values[t * vocab + v]);
    }
    sum += std::log(total) - logits.values[t * vocab + std::size_t(ids[t + 1])];
  }
  const Json json = result.json();
  QVERIFY(std::abs(json.at("loss").get<double>() - sum / double(ids.size() - 1)) < 1e-4);
  QCOMPARE(json.at("tokens").get<std::size_t>(), ids.size());
  QCOMPARE(json.at("capture_bytes").get<qint64>(), QFileInfo(path("c.safetensors")).size());
  QVERIFY(json.at("peak_bytes").get<qint64>() > 0);
  const auto capture = SafetensorsFile::open(path("c.safetensors").toStdString());
  for (const char* side : {"q", "k", "v"}) {
    const GoldenTensor expected = goldenTensor(*golden, concat(side, side[0] == 'v' ? ".4" : "_pre.4"));
    const GoldenTensor made = goldenTensor(*capture, concat(side, ".4"));
    QVERIFY(difference(made.values, expected.values) <= 1e-5 * std::max(1.0, largest(expected.values)));
  }
  const Json header = Json::parse(capture->metadata().at("headscope"));
  QCOMPARE(header.at("text").get<std::string>(), golden->metadata().at("prompt"));
  QCOMPARE(header.at("tokens").size(), ids.size());
}

void TstCliModels::tokenizesStories() {
  const QString model = shared("models/stories260K");
  if (!QFile::exists(model)) {
    QSKIP("stories260K (../shared/models) is not here");
  }
  const Json cases = readJson((model + "/golden_tokenizer.json").toStdString());
  std::string texts;
  std::string ids;
  for (const Json& one : cases) {
    texts += one.at("text").dump() + "\n";
    ids += one.at("ids").dump() + "\n";
  }
  writeFile(path("texts.jsonl").toStdString(), texts);
  writeFile(path("ids.jsonl").toStdString(), ids);
  const CliResult made = cli({"tokenize", model, "--jsonl", path("texts.jsonl")});
  QVERIFY2(made.failedWith(0), made.report());
  const CliResult back = cli({"detokenize", model, "--jsonl", path("ids.jsonl"), "--skip-special"});
  QVERIFY2(back.failedWith(0), back.report());
  const QList<QByteArray> madeLines = made.out.trimmed().split('\n');
  const QList<QByteArray> backLines = back.out.trimmed().split('\n');
  QCOMPARE(std::size_t(madeLines.size()), cases.size());
  QCOMPARE(std::size_t(backLines.size()), cases.size());
  for (std::size_t index = 0; index < cases.size(); ++index) {
    const Json line = Json::parse(madeLines[int(index)].toStdString());
    QCOMPARE(line.at("ids").get<std::vector<int>>(), cases[index].at("ids").get<std::vector<int>>());
    QCOMPARE(line.at("tokens").size(), line.at("ids").size());
    QCOMPARE(line.at("offsets").size(), line.at("ids").size());
    QCOMPARE(Json::parse(backLines[int(index)].toStdString()).at("text").get<std::string>(),
             cases[index].at("decode").get<std::string>());
  }
  const CliResult without = cli({"tokenize", model, "--text", "Once", "--bos", "off", "--json"});
  QCOMPARE(without.json().at("ids").get<std::vector<int>>(), std::vector<int>{403});
  writeFile(path("broken.jsonl").toStdString(), "\"a\"\n\"b\n");
  const CliResult broken = cli({"tokenize", model, "--jsonl", path("broken.jsonl")});
  QVERIFY2(broken.failedWith(1) && broken.err.contains("line 2") && broken.out.isEmpty(), broken.report());
}

void TstCliModels::tellsWhatAModelHolds() {
  const QString model = shared("models/stories260K");
  if (!QFile::exists(model)) {
    QSKIP("stories260K (../shared/models) is not here");
  }
  const Json json = cli({"info", model, "--json"}).json();
  QCOMPARE(json.at("format").get<std::string>(), std::string("hf"));
  QCOMPARE(json.at("family").get<std::string>(), std::string("llama"));
  const std::vector<std::pair<const char*, int>> numbers{{"layers", 5},         {"heads", 8},   {"kv_heads", 4},
                                                         {"head_dim", 8},       {"hidden", 64}, {"vocab", 512},
                                                         {"parameters", 260032}};
  for (const auto& [key, value] : numbers) {
    QCOMPARE(json.at(key).get<int>(), value);
  }
  QVERIFY(json.at("tied").get<bool>());
  QCOMPARE(json.at("attention").size(), std::size_t{5});
  QCOMPARE(json.at("ropes")[0].at("inv_freq").size(), std::size_t{4});
  QVERIFY(json.at("tokenizer").is_string());
}

void TstCliModels::runsTwiceToTheSameBytes() {
  const QString model = shared("models/families/llama_llama3");
  if (!QFile::exists(model)) {
    QSKIP("the golden models (../shared/models/families) are not here");
  }
  const QString ids = idsFile(QDir(folder_.path()), "ids.json", {1, 2, 3, 4, 5, 6, 7, 8, 9});
  for (const QString& name : {QStringLiteral("a"), QStringLiteral("b")}) {
    const CliResult result = cli({"run", model, "--ids-file", ids, "--threads", "2", "--out",
                                  path(name + ".safetensors"), "--logits", path(name + ".npy")});
    QVERIFY2(result.failedWith(0), result.report());
  }
  QVERIFY(readFile(path("a.safetensors").toStdString()) == readFile(path("b.safetensors").toStdString()));
  QVERIFY(readFile(path("a.npy").toStdString()) == readFile(path("b.npy").toStdString()));
  // Small blocks give the same up to rounding.
  QVERIFY(cli({"run", model, "--ids-file", ids, "--block", "2", "--logits", path("c.npy")}).failedWith(0));
  QVERIFY(difference(readNpy(path("a.npy").toStdString()).numbers(), readNpy(path("c.npy").toStdString()).numbers()) <
          1e-5);
}

void TstCliModels::worksWithoutATokenizer() {
  const QString model = shared("models/families/llama_plain");
  if (!QFile::exists(model)) {
    QSKIP("the golden models (../shared/models/families) are not here");
  }
  const CliResult text = cli({"run", model, "--text", "hello"});
  QVERIFY2(text.failedWith(1) && isOneLine(text.err) && text.err.contains("tokenizer"), text.report());
  const QString ids = idsFile(QDir(folder_.path()), "ids.json", {3, 1, 4});
  const CliResult made = cli({"generate", model, "-n", "3", "--ids-file", ids, "--json"});
  QVERIFY2(made.failedWith(0), made.report());
  QVERIFY(made.json().at("text").is_null());
  const CliResult outside = cli({"run", model, "--ids-file", idsFile(QDir(folder_.path()), "o.json", {3, 100000})});
  QVERIFY2(outside.failedWith(1) && isOneLine(outside.err), outside.report());
  const CliResult empty = cli({"run", model, "--ids-file", idsFile(QDir(folder_.path()), "e.json", {})});
  QVERIFY2(empty.failedWith(1) && empty.err.contains("e.json"), empty.report());
  writeFile(path("bad.json").toStdString(), "[1, -2]");
  const CliResult bad = cli({"run", model, "--ids-file", path("bad.json")});
  QVERIFY2(bad.failedWith(1) && bad.err.contains("bad.json"), bad.report());
}

void TstCliModels::analyzesACorpus() {
  const QString model = shared("models/stories260K");
  if (!QFile::exists(model)) {
    QSKIP("stories260K (../shared/models) is not here");
  }
  const std::vector<std::string> texts{"Once upon a time, there was a cat. The cat was fat.", "Tom had a big red ball.",
                                       "Lily and Ben like to play in the park. They like the big tree."};
  std::string lines;
  QDir(folder_.path()).mkdir("docs");
  for (std::size_t index = 0; index < texts.size(); ++index) {
    lines += Json(texts[index]).dump() + "\n";
    writeFile((path("docs/") + QString::number(index) + ".txt").toStdString(), texts[index]);
  }
  writeFile(path("docs.jsonl").toStdString(), lines);
  const CliResult all = cli({"analyze", model, "--corpus", path("docs.jsonl"), "--json", "--progress"});
  QVERIFY2(all.failedWith(0), all.report());
  QVERIFY2(all.err.contains("document 3 of 3"), all.report());
  QCOMPARE(cli({"analyze", model, "--corpus", path("docs"), "--json"}).out, all.out);

  std::vector<Json> each;
  for (const std::string& text : texts) {
    each.push_back(cli({"analyze", model, "--text", QString::fromStdString(text), "--json"}).json());
  }
  const Json json = all.json();
  QCOMPARE(json.at("documents").get<int>(), 3);
  for (std::size_t head = 0; head < json.at("per_head").size(); ++head) {
    for (const auto& [name, mean] : json.at("per_head")[head].at("scores").items()) {
      double sum = 0, squares = 0;
      int count = 0;
      for (const Json& one : each) {
        const Json& value = one.at("per_head")[head].at("scores").at(name);
        if (!value.is_null()) {
          sum += value.get<double>();
          squares += value.get<double>() * value.get<double>();
          ++count;
        }
      }
      QCOMPARE(mean.is_null(), count == 0);
      if (count > 0) {
        const double expected = sum / count;
        QVERIFY(std::abs(mean.get<double>() - expected) < 1e-9 * std::max(1.0, std::abs(expected)));
        const double deviation = json.at("per_head")[head].at("scores_std").at(name).get<double>();
        QVERIFY(std::abs(deviation - std::sqrt(std::max(0.0, squares / count - expected * expected))) < 1e-6);
      }
    }
  }
  for (const char* key : {"block_influence", "block_influence_residual"}) {
    QVERIFY(json.at("per_layer")[4].at("scores").at(key).is_number());
  }
  const CliResult none = cli({"analyze", model, "--corpus", folder_.path() + "/nothing"});
  QVERIFY2(none.failedWith(1) && isOneLine(none.err), none.report());
}

void TstCliModels::verifies() {
  const QString model = shared("models/stories260K");
  if (!QFile::exists(model)) {
    QSKIP("stories260K (../shared/models) is not here");
  }
  const CliResult result = cli({"verify", model, "--json"});
  QVERIFY2(result.failedWith(0), result.report());
  QCOMPARE(result.json().at("family").get<std::string>(), std::string("llama"));
  QCOMPARE(result.json().at("status").get<std::string>(), std::string("verified"));
  QVERIFY(result.json().at("checks").size() > 0);
  const CliResult refused = cli({"verify", shared("models/broken/config/06-unknown-type"), "--json"});
  QVERIFY2(refused.failedWith(1) && isOneLine(refused.err), refused.report());
  QCOMPARE(refused.json().at("status").get<std::string>(), std::string("refused"));
}

QTEST_GUILESS_MAIN(TstCliModels)
#include "tst_cli_models.moc"
