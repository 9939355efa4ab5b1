// The demo model that comes with the repository, through the command line. Needs nothing from outside.

#include <QTemporaryDir>
#include <QtTest>
#include <numeric>

#include "core/files/npy.h"
#include "core/files/safetensors.h"
#include "tests/support/cli_process.h"

using namespace headscope;
using namespace headscope::test;

class TstCliDemo : public QObject {
  Q_OBJECT

 private:
  QTemporaryDir folder_;
  const QString model_ = QStringLiteral(HEADSCOPE_SOURCE "/resources/demo/headscope-demo");
  const QString prompt_ = QStringLiteral(HEADSCOPE_SOURCE "/resources/demo/prompt.txt");
  QString path(const QString& name) const { return folder_.filePath(name); }

 private Q_SLOTS:
  void saysWhatItIs();
  void findsWhatTheKeyOpens();
  void capturesThatFitTheirArithmetic_data();
  void capturesThatFitTheirArithmetic();
  void writesTheLogSumExpAsAsked();
  void hasTheHeadsThatTheReadmeNames();
};

void TstCliDemo::saysWhatItIs() {
  const Json info = cli({"info", model_, "--json"}).json();
  QCOMPARE(info.at("family").get<std::string>(), std::string("llama"));
  QCOMPARE(info.at("heads").get<int>(), 8);
  QCOMPARE(info.at("kv_heads").get<int>(), 4);
  QVERIFY(info.at("bytes").get<std::int64_t>() <= 8'000'000);
}

// The prompt says "the castle key opens the green chest" and ends with "the castle key opens the green".
void TstCliDemo::findsWhatTheKeyOpens() {
  const CliResult result = cli({"generate", model_, "-n", "1", "--text-file", prompt_, "--json"});
  QVERIFY2(result.failedWith(0), result.report());
  QCOMPARE(QString::fromStdString(result.json().at("text")), QStringLiteral(" chest"));
}

void TstCliDemo::capturesThatFitTheirArithmetic_data() {
  QTest::addColumn<QString>("type");
  for (const char* type : {"f32", "bf16", "f16"}) {
    QTest::newRow(type) << QString(type);
  }
}

// The log-sum-exp of a run in 16 bits does not fit q and k: the capture must open, and rows must sum to 1 all the same.
void TstCliDemo::capturesThatFitTheirArithmetic() {
  QFETCH(QString, type);
  const CliResult run = cli({"run", model_, "--text-file", prompt_, "--dtype", type, "--out", path("c.safetensors")});
  QVERIFY2(run.failedWith(0), run.report());
  for (const char* layer : {"0", "3", "5"}) {
    const CliResult map = cli({"map", path("c.safetensors"), "--layer", layer, "--head", "7", "--out", path("m.npy")});
    QVERIFY2(map.failedWith(0), map.report());
    const NpyArray array = readNpy(path("m.npy").toStdString());
    const std::vector<double> values = array.numbers();
    const auto columns = static_cast<std::size_t>(array.shape[1]);
    for (std::size_t row = 0; row < static_cast<std::size_t>(array.shape[0]); ++row) {
      const double sum = std::accumulate(values.begin() + static_cast<std::ptrdiff_t>(row * columns),
                                         values.begin() + static_cast<std::ptrdiff_t>((row + 1) * columns), 0.0);
      QVERIFY(std::abs(sum - 1) < 1e-5);
    }
  }
}

void TstCliDemo::writesTheLogSumExpAsAsked() {
  const auto hasLse = [this](const QStringList& more) {
    const QStringList command{"run", model_, "--text-file", prompt_, "--out", path("l.safetensors")};
    const CliResult run = cli(command + more);
    const auto file = SafetensorsFile::open(path("l.safetensors").toStdString());
    return run.failedWith(0) && file->find("lse.0") != nullptr && file->find("lse.5") != nullptr;
  };
  QVERIFY(hasLse({}));
  QVERIFY(hasLse({"--dtype", "bf16"}));
  QVERIFY(hasLse({"--capture-dtype", "f16"}));
  QVERIFY(!hasLse({"--dtype", "bf16", "--lse", "off"}));
  QVERIFY(hasLse({"--dtype", "bf16", "--lse", "on"}));
}

// README.md, "The demo model": kinds of heads on a row of invented words that is said twice.
void TstCliDemo::hasTheHeadsThatTheReadmeNames() {
  const QString row =
      QStringLiteral("bako temlu zanfi morde silpu garne votas liba koriri temzan lufimo desil pugar nevo");
  const CliResult result = cli({"analyze", model_, "--text", row + ". " + row + ".", "--json"});
  QVERIFY2(result.failedWith(0), result.report());
  const Json json = result.json();
  const auto score = [&](int layer, int head, const char* name) {
    for (const Json& entry : json.at("per_head")) {
      if (entry.at("layer") == layer && entry.at("head") == head) {
        return entry.at("scores").at(name).get<double>();
      }
    }
    return -1.0;
  };
  QVERIFY(score(4, 3, "previous_token") > 0.9);
  QVERIFY(score(5, 5, "induction") > 0.5);
  QVERIFY(score(2, 7, "duplicate_token") > 0.5);
  QVERIFY(score(3, 7, "sink_mass") > 0.5);
  QVERIFY(score(5, 5, "retrieval_mass") > score(3, 7, "retrieval_mass"));
}

QTEST_GUILESS_MAIN(TstCliDemo)
#include "tst_cli_demo.moc"
