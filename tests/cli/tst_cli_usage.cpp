// How headscope-cli is used rightly and wrongly: exit codes, one line on stderr, nothing but JSON on stdout, Ctrl-C.

#include <signal.h>

#include <QTemporaryDir>
#include <QtTest>
#include <random>

#include "core/files/atomic_file.h"
#include "core/files/npy.h"
#include "tests/support/cli_process.h"
#include "tests/support/foreign_capture.h"

using namespace headscope;
using namespace headscope::test;

namespace {

// Two layers, two query heads on one KV head, 8 dims of which 6 rotate.
ForeignCapture randomCapture(std::int64_t tokens, int layers = 2) {
  ForeignCapture capture;
  capture.heads = 2;
  capture.tokens = tokens;
  capture.scale = 0.5;
  capture.rope = ropeEntry("half", {1.0, 0.1, 0.01});
  std::mt19937 random(3);
  std::normal_distribution<float> normal;
  for (int layer = 0; layer < layers; ++layer) {
    ForeignLayer& made = capture.layers.emplace_back();
    made.q.resize(std::size_t(2 * tokens * 8));
    made.k.resize(std::size_t(tokens * 8));
    std::generate(made.q.begin(), made.q.end(), [&] { return normal(random); });
    std::generate(made.k.begin(), made.k.end(), [&] { return normal(random); });
  }
  return capture;
}

}  // namespace

class TstCliUsage : public QObject {
  Q_OBJECT

 private:
  QTemporaryDir folder_;
  QString capture_;

  QString path(const QString& name) const { return folder_.filePath(name); }
  QStringList entries() const { return QDir(folder_.path()).entryList(QDir::Files); }

 private Q_SLOTS:
  void initTestCase();
  void helpsAndTellsItsVersion_data();
  void helpsAndTellsItsVersion();
  void saysWrongUse_data();
  void saysWrongUse();
  void saysWrongInput_data();
  void saysWrongInput();
  void printsOneJsonDocument_data();
  void printsOneJsonDocument();
  void writesByTheEnding();
  void printsNothingButProgressOnStderr();
  void stopsOnInterrupt();
  void leavesThePreviousFileWhenItFails();
  void saysThatStdoutIsFull();
};

void TstCliUsage::initTestCase() {
  capture_ = path("c.safetensors");
  writeForeignCapture(capture_.toStdString(), randomCapture(24));
}

void TstCliUsage::helpsAndTellsItsVersion_data() {
  QTest::addColumn<QStringList>("command");
  QTest::newRow("program") << QStringList();
  for (const char* name : {"info", "tokenize", "detokenize", "run", "map", "rope", "analyze", "generate", "mask",
                           "verify", "perplexity", "prune-order"}) {
    QTest::newRow(name) << QStringList(name);
  }
  for (const char* name : {"show", "check", "convert"}) {
    QTest::addRow("mask %s", name) << QStringList{"mask", name};
  }
}

void TstCliUsage::helpsAndTellsItsVersion() {
  QFETCH(QStringList, command);
  const CliResult help = cli(command + QStringList("--help"));
  QVERIFY2(help.failedWith(0), help.report());
  QVERIFY(help.out.contains("Usage: headscope-cli"));
  QVERIFY(help.err.isEmpty());
  const CliResult version = cli(command + QStringList("--version"));
  QVERIFY2(version.failedWith(0), version.report());
  QVERIFY(version.out.startsWith("headscope-cli "));
}

void TstCliUsage::saysWrongUse_data() {
  QTest::addColumn<QStringList>("arguments");
  const auto row = [](const char* arguments) {
    QTest::newRow(arguments) << QString(arguments).split(' ', Qt::SkipEmptyParts);
  };
  row("");
  row("paint");
  row("info");
  row("info CAPTURE --paint");
  row("map CAPTURE --head 0");
  row("map CAPTURE --layer x --head 0");
  row("map CAPTURE --layer 0 --head -1");
  row("map CAPTURE --layer 0 --head 0 --rows 3");
  row("map CAPTURE --layer 0 --head 0 --rows 3:x");
  row("map CAPTURE --layer 0 --head 0 --rows -1:3");
  row("map CAPTURE --layer 0 --head 0 --cols 5:5");
  row("map CAPTURE --layer 0 --head 0 --value mass");
  row("map CAPTURE --layer 0 --head 0 --size 4x4 --value logit");
  row("map CAPTURE --layer 0 --head 0 --size 25x4");
  row("map CAPTURE --layer 0 --head 0 --size 4x9 --rows 0:8");
  row("map CAPTURE --layer 0 --head 0 --size 4");
  row("map CAPTURE --layer 0 --head 0 --size 0x4");
  row("map CAPTURE --layer 0 --head 0 --size 4x4 --pool median");
  row("map CAPTURE --layer 0 --head 0 --pool max");
  row("map CAPTURE --layer 0 --head 0 --out x.bmp");
  row("map CAPTURE --layer 0 --head 0 --move-channel 1");
  row("map CAPTURE --layer 0 --head 0 --drop-channels 1,,2");
  row("map CAPTURE --layer 0 --head 0 --rope-base 0");
  row("map CAPTURE --layer 0 --head 0 --device tpu");
  row("map CAPTURE --layer 0 --head 0 --dtype f8");
  row("map CAPTURE --layer 0 --head 0 --threads 0");
  row("map CAPTURE --layer 0 --head 0 --text a --ids-file b");
  row("map CAPTURE --layer 0 --head 0 --text a");
  row("analyze CAPTURE --json --csv");
  row("analyze CAPTURE --season 0");
  row("analyze CAPTURE --measures some");
  row("analyze CAPTURE --series entropy --layer 0 --head 0");
  row("analyze CAPTURE --series k_similarity_consecutive");
  row("analyze CAPTURE --corpus .");
  row("analyze CAPTURE --out x.npy");
  row("run FOLDER");
  row("run FOLDER --text a --logits l.txt");
  row("run FOLDER --text a --values");
  row("generate FOLDER --text a");
  row("generate FOLDER --text a -n 0");
  row("mask");
  row("mask show");
  row("mask show CAPTURE --from drawing");
  row("mask show CAPTURE --shape 0,1");
  row("mask show CAPTURE --shape 1,2,3,4");
  row("mask show CAPTURE --threshold 0.5 --count 2");
  row("mask show CAPTURE --sparsity 1.5");
  row("mask convert CAPTURE --to drawing --out x");
  row("mask convert CAPTURE --to headscope");
}

void TstCliUsage::saysWrongUse() {
  QFETCH(QStringList, arguments);
  arguments.replaceInStrings("CAPTURE", capture_);
  arguments.replaceInStrings("FOLDER", folder_.path());
  const CliResult result = cli(arguments);
  QVERIFY2(result.failedWith(2), result.report());
  QVERIFY2(result.out.isEmpty(), result.report());
  QVERIFY2(result.err.startsWith("headscope-cli: "), result.report());
  QVERIFY2(result.err.contains("\nTry 'headscope-cli"), result.report());
}

void TstCliUsage::saysWrongInput_data() {
  QTest::addColumn<QStringList>("arguments");
  QTest::addColumn<QString>("names");  // the file that the line must name
  const auto row = [](const char* arguments, const char* names) {
    QTest::newRow(arguments) << QString(arguments).split(' ', Qt::SkipEmptyParts) << QString(names);
  };
  row("info /no/such/model", "/no/such/model");
  row("info NOTES", "notes.txt");
  row("map CAPTURE --layer 2 --head 0", "c.safetensors");
  row("map CAPTURE --layer 0 --head 2", "c.safetensors");
  row("map CAPTURE --layer 0 --head 0 --rows 0:25", "c.safetensors");
  row("map CAPTURE --layer 0 --head 0 --cols 24:30", "c.safetensors");
  row("map CAPTURE --layer 0 --head 0 --drop-channels 3", "c.safetensors");
  row("map CAPTURE --layer 0 --head 0 --move-channel 0:7", "c.safetensors");
  row("map CAPTURE --layer 0 --head 0 --out /no/such/folder/m.npy", "/no/such/folder/m.npy");
  row("rope CAPTURE --layer 0 --head 2", "c.safetensors");
  row("rope CAPTURE --layer 0 --head 0 --drop-channels 9", "c.safetensors");
  row("analyze CAPTURE --series k_similarity_consecutive --layer 9 --head 0", "c.safetensors");
  row("analyze NOTES", "notes.txt");
  row("tokenize FOLDER --text a", "FOLDER");
  row("detokenize FOLDER --ids-file /no/ids.json", "FOLDER");
  row("mask show /no/such/mask", "/no/such/mask");
  row("mask show NOTES", "notes.txt");
}

void TstCliUsage::saysWrongInput() {
  QFETCH(QStringList, arguments);
  QFETCH(QString, names);
  writeFile(path("notes.txt").toStdString(), "some notes");
  arguments.replaceInStrings("CAPTURE", capture_);
  arguments.replaceInStrings("NOTES", path("notes.txt"));
  arguments.replaceInStrings("FOLDER", folder_.path());
  const CliResult result = cli(arguments);
  QVERIFY2(result.failedWith(1), result.report());
  QVERIFY2(isOneLine(result.err), result.report());
  QVERIFY2(result.err.contains(names.replace("FOLDER", folder_.path()).toUtf8()), result.report());
  QVERIFY2(result.out.isEmpty(), result.report());
}

void TstCliUsage::printsOneJsonDocument_data() {
  QTest::addColumn<QStringList>("arguments");
  QTest::addColumn<QStringList>("keys");
  const auto row = [](const char* arguments, const char* keys) {
    QTest::newRow(arguments) << QString(arguments).split(' ') << QString(keys).split(' ');
  };
  row("info CAPTURE",
      "format family layers heads kv_heads head_dim hidden vocab parameters bytes tied attention ropes tokenizer");
  row("map CAPTURE --layer 0 --head 1", "rows cols min max");
  row("rope CAPTURE --layer 1 --head 0",
      "channels dominant dominance predicted_by_distance measured_by_distance predicted_period measured_period "
      "measured_period_strength");
  row("analyze CAPTURE", "per_head per_layer definitions");
  row("analyze CAPTURE --measures all --season 3", "per_head per_layer definitions");
  row("analyze CAPTURE --series q_similarity_consecutive --layer 0 --head 0", "values");
}

void TstCliUsage::printsOneJsonDocument() {
  QFETCH(QStringList, arguments);
  QFETCH(QStringList, keys);
  arguments.replaceInStrings("CAPTURE", capture_);
  const CliResult result = cli(arguments + QStringList("--json"));
  QVERIFY2(result.failedWith(0), result.report());
  QVERIFY2(result.err.isEmpty(), result.report());
  const Json json = result.json();
  for (const QString& key : keys) {
    QVERIFY2(json.contains(key.toStdString()), qPrintable(key));
  }
}

void TstCliUsage::writesByTheEnding() {
  const QStringList map{"map", capture_, "--layer", "0", "--head", "1"};
  QVERIFY(cli(map + QStringList{"--out", path("m.npy")}).failedWith(0));
  QVERIFY(cli(map + QStringList{"--out", path("m.csv"), "--value", "logit"}).failedWith(0));
  QVERIFY(cli(map + QStringList{"--out", path("m.json")}).failedWith(0));
  const NpyArray array = readNpy(path("m.npy").toStdString());
  QCOMPARE(array.shape, (std::vector<std::int64_t>{24, 24}));
  QCOMPARE(array.type, NpyType::F32);
  const Json json = readJson(path("m.json").toStdString());
  QCOMPARE(json.at("rows").get<int>(), 24);
  const std::vector<double> cells = array.numbers();
  for (std::size_t t = 0; t < 24; ++t) {
    double sum = 0;
    for (std::size_t i = 0; i < 24; ++i) {
      // A float32 in its shortest form, read as a double, is that float32 again.
      QCOMPARE(float(json.at("values")[t][i].get<double>()), float(cells[t * 24 + i]));
      sum += cells[t * 24 + i];
      QVERIFY(i <= t || cells[t * 24 + i] == 0);
    }
    QVERIFY(std::abs(sum - 1) < 1e-5);
  }
  const QByteArray csv = QByteArray::fromStdString(readFile(path("m.csv").toStdString()));
  const QList<QByteArray> lines = csv.trimmed().split('\n');
  QCOMPARE(lines.size(), 24);
  QCOMPARE(lines[0].split(',')[23], QByteArray("-inf"));
  QCOMPARE(cli(map + QStringList{"--csv", "--value", "logit"}).out, csv);

  QVERIFY(cli(map + QStringList{"--out", path("m.png"), "--size", "12x8"}).failedWith(0));
  QVERIFY(QByteArray::fromStdString(readFile(path("m.png").toStdString())).startsWith("\x89PNG"));

  QVERIFY(cli({"analyze", capture_, "--out", path("a.json")}).failedWith(0));
  QVERIFY(cli({"analyze", capture_, "--out", path("a.csv")}).failedWith(0));
  QCOMPARE(readJson(path("a.json").toStdString()).at("per_head").size(), std::size_t{4});
  const QByteArray scores = QByteArray::fromStdString(readFile(path("a.csv").toStdString()));
  QCOMPARE(scores.trimmed().split('\n').size(), 5);
  QCOMPARE(cli({"analyze", capture_, "--csv"}).out, scores);
  QVERIFY(cli({"rope", capture_, "--layer", "0", "--head", "0", "--out", path("r.csv")}).failedWith(0));
  QCOMPARE(QByteArray::fromStdString(readFile(path("r.csv").toStdString())).trimmed().split('\n').size(), 4);
  const QString curve = path("s.npy");
  QVERIFY(cli({"analyze", capture_, "--series", "q_similarity_consecutive_rope", "--layer", "1", "--head", "1", "--out",
               curve})
              .failedWith(0));
  QCOMPARE(readNpy(curve.toStdString()).shape, std::vector<std::int64_t>{23});
  QCOMPARE(readNpy(curve.toStdString()).type, NpyType::F32);
}

void TstCliUsage::printsNothingButProgressOnStderr() {
  const CliResult quiet = cli({"analyze", capture_, "--json"});
  QVERIFY(quiet.err.isEmpty());
  const CliResult loud = cli({"analyze", capture_, "--json", "--progress"});
  QVERIFY2(loud.failedWith(0), loud.report());
  QVERIFY2(loud.err.contains("4/4 (100 %)"), loud.report());
  QVERIFY(!loud.err.contains('\r'));
  QCOMPARE(loud.out, quiet.out);
}

// No sleeping: the program says that it works, then gets the signal.
void TstCliUsage::stopsOnInterrupt() {
  const QString large = path("large.safetensors");
  writeForeignCapture(large.toStdString(), randomCapture(20000, 4));
  const QStringList before = entries();
  QProcess process;
  process.setReadChannel(QProcess::StandardError);
  process.start(cliProgram(), {"analyze", large, "--progress", "--out", path("never.json")});
  QVERIFY(process.waitForStarted());
  QByteArray said;
  while (!said.contains("analysis")) {
    QVERIFY2(process.waitForReadyRead(30000), "no progress was reported");
    said += process.readAllStandardError();
  }
  ::kill(pid_t(process.processId()), SIGINT);
  QVERIFY(process.waitForFinished(30000));
  QCOMPARE(process.exitStatus(), QProcess::NormalExit);
  QCOMPARE(process.exitCode(), 130);
  QVERIFY(process.readAllStandardOutput().isEmpty());
  QCOMPARE(entries(), before);
  QFile::remove(large);
}

void TstCliUsage::leavesThePreviousFileWhenItFails() {
  const QString target = path("kept.json");
  writeFile(target.toStdString(), "before");
  QVERIFY(cli({"analyze", path("notes.txt"), "--out", target}).failedWith(1));
  QVERIFY(cli({"rope", capture_, "--layer", "9", "--head", "0", "--out", target}).failedWith(1));
  QCOMPARE(readFile(target.toStdString()), std::string("before"));
  for (const QString& name : entries()) {
    QVERIFY2(!name.endsWith(".part"), qPrintable(name));
  }
}

void TstCliUsage::saysThatStdoutIsFull() {
  if (!QFile::exists("/dev/full")) {
    QSKIP("there is no /dev/full here");
  }
  QProcess process;
  process.setStandardOutputFile("/dev/full");
  process.start(cliProgram(), {"info", capture_, "--json"});
  QVERIFY(process.waitForFinished());
  QCOMPARE(process.exitCode(), 1);
  QVERIFY(isOneLine(process.readAllStandardError()));
}

QTEST_GUILESS_MAIN(TstCliUsage)
#include "tst_cli_usage.moc"
