// Damaged and unusual models through the command line: one clear line, no crash, no wait, no large memory.

#include <QTemporaryDir>
#include <QtTest>

#include "core/files/npy.h"
#include "tests/support/cli_process.h"
#include "tests/support/compare.h"

using namespace headscope;
using namespace headscope::test;

class TstCliBroken : public QObject {
  Q_OBJECT

 private:
  QTemporaryDir folder_;

 private Q_SLOTS:
  void refusesDamage_data();
  void refusesDamage();
};

// Every case of ../shared/models/broken, as its README says.
void TstCliBroken::refusesDamage_data() {
  QTest::addColumn<QString>("path");
  QTest::addColumn<QString>("expect");
  const QString root = shared("models/broken/");
  if (!QFile::exists(root + "manifest.json")) {
    QTest::newRow("absent") << QString() << QString();
    return;
  }
  const Json manifest = readJson((root + "manifest.json").toStdString());
  for (const Json& one : manifest.at("cases")) {
    QTest::addRow("%s: %s", one.at("id").get<std::string>().c_str(), one.at("wrong").get<std::string>().c_str())
        << root + QString::fromStdString(one.at("path")) << QString::fromStdString(one.at("expect"));
  }
}

void TstCliBroken::refusesDamage() {
  QFETCH(QString, path);
  QFETCH(QString, expect);
  if (path.isEmpty()) {
    QSKIP("the broken models (../shared/models/broken) are not here");
  }
  const QString root = shared("models/broken/base");
  const Json golden = readJson((root + "/golden.json").toStdString());
  const QString ids = idsFile(QDir(folder_.path()), "ids.json", golden.at("ids").get<std::vector<std::int64_t>>());
  const QString text = "hello the e aaaaaaaaaaaaaaaaaaaaaaaaaaab";
  static const std::int64_t sound = [&] {
    cli({"run", root, "--ids-file", ids});
    return childrenPeakBytes();
  }();
  const QString logits = folder_.filePath("l.npy");
  QFile::remove(logits);
  const CliResult tokenized = cli({"tokenize", path, "--text", text, "--json"});
  const CliResult run = cli({"run", path, "--ids-file", ids, "--logits", logits});
  bool refused = false;
  for (const CliResult& result : {tokenized, run}) {
    QVERIFY2(result.failedWith(0) || result.failedWith(1), result.report());
    QVERIFY(result.seconds < 5);
    if (result.exitCode == 1) {
      refused = true;
      QVERIFY2(isOneLine(result.err) && result.err.contains(path.toUtf8()), result.report());
      QVERIFY(result.out.isEmpty());
    }
  }
  QVERIFY(childrenPeakBytes() < sound + (std::int64_t{200} << 20));
  if (expect != "either") {
    QCOMPARE(refused, expect == "refuse");
  }
  if (!refused) {
    std::vector<double> expected;
    for (const Json& row : golden.at("logits")) {
      for (const Json& value : row) {
        expected.push_back(value.get<double>());
      }
    }
    QVERIFY(difference(readNpy(logits.toStdString()).numbers(), expected) <= 1e-4);
    QVERIFY(tokenized.json().at("ids").size() > 0);
  }
}

QTEST_GUILESS_MAIN(TstCliBroken)
#include "tst_cli_broken.moc"
