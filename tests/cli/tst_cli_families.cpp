// The golden models of every family through the command line: logits, capture, map.

#include <QTemporaryDir>
#include <QtTest>

#include "core/files/atomic_file.h"
#include "core/files/npy.h"
#include "tests/support/cli_process.h"
#include "tests/support/compare.h"
#include "tests/support/golden_tensors.h"

using namespace headscope;
using namespace headscope::test;

class TstCliFamilies : public QObject {
  Q_OBJECT

 private:
  QTemporaryDir folder_;
  QString path(const QString& name) const { return folder_.filePath(name); }

 private Q_SLOTS:
  void matchesGoldens_data();
  void matchesGoldens();
};

void TstCliFamilies::matchesGoldens_data() {
  QTest::addColumn<QString>("folder");
  const QDir families(shared("models/families"));
  for (const QString& name : families.entryList(QDir::Dirs | QDir::NoDotAndDotDot)) {
    if (families.exists(name + "/golden.safetensors")) {
      QTest::newRow(qPrintable(name)) << families.filePath(name);
    }
  }
  if (!families.exists()) {
    QTest::newRow("absent") << QString();
  }
}

void TstCliFamilies::matchesGoldens() {
  QFETCH(QString, folder);
  if (folder.isEmpty()) {
    QSKIP("the golden models (../shared/models/families) are not here");
  }
  const auto golden = SafetensorsFile::open((folder + "/golden.safetensors").toStdString());
  const QString ids = idsFile(QDir(folder_.path()), "ids.json", goldenIds(*golden));
  const QString capture = path("c.safetensors");
  const CliResult run =
      cli({"run", folder, "--ids-file", ids, "--out", capture, "--logits", path("l.npy"), "--json", "--device", "cpu"});
  if (run.failedWith(1) && run.err.contains("not covered")) {
    QSKIP(run.err.constData());
  }
  QVERIFY2(run.failedWith(0), run.report());
  const GoldenTensor logits = goldenTensor(*golden, "logits");
  const NpyArray array = readNpy(path("l.npy").toStdString());
  QCOMPARE(array.shape, logits.shape);
  QVERIFY(difference(array.numbers(), logits.values) <= 1e-4 * largest(logits.values));

  const auto captured = SafetensorsFile::open(capture.toStdString());
  int layers = 0;
  for (; golden->find(concat("q_pre.", layers)) != nullptr; ++layers) {
    for (const char* side : {"q", "k"}) {
      const GoldenTensor expected = goldenTensor(*golden, concat(side, "_pre.", layers));
      const GoldenTensor found = goldenTensor(*captured, concat(side, ".", layers));
      QCOMPARE(found.shape, expected.shape);
      QVERIFY(difference(found.values, expected.values) <= 1e-5 * std::max(1.0, largest(expected.values)));
    }
  }
  QVERIFY(layers > 0);
  // One head of the last layer; the other heads and layers follow the same way in tst_model_families and tst_maps.
  const int layer = layers - 1;
  const GoldenTensor probabilities = goldenTensor(*golden, concat("probs.", layer));
  const std::int64_t head = probabilities.shape[0] - 1;
  const QStringList which{"--layer", QString::number(layer), "--head", QString::number(head), "--out"};
  const CliResult ofModel =
      cli(QStringList{"map", folder, "--ids-file", ids, "--device", "cpu"} + which + QStringList(path("m.npy")));
  QVERIFY2(ofModel.failedWith(0), ofModel.report());
  const CliResult ofCapture = cli(QStringList{"map", capture} + which + QStringList(path("n.npy")));
  QVERIFY2(ofCapture.failedWith(0), ofCapture.report());
  QVERIFY(readFile(path("m.npy").toStdString()) == readFile(path("n.npy").toStdString()));
  QVERIFY(difference(readNpy(path("m.npy").toStdString()).numbers(), probabilities.slice(head)) <= 1e-5);
}

QTEST_GUILESS_MAIN(TstCliFamilies)
#include "tst_cli_families.moc"
