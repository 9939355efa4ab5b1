// resources/export/capture_hf.py: what it captures from transformers' own models equals the golden files and reads as a
// capture. Needs a Python with torch and transformers: HEADSCOPE_PYTHON, else python3; skips without.

#include <QTemporaryDir>
#include <QtTest>

#include "core/files/npy.h"
#include "tests/support/cli_process.h"
#include "tests/support/compare.h"
#include "tests/support/golden_tensors.h"

using namespace headscope;
using namespace headscope::test;

class TstExportScript : public QObject {
  Q_OBJECT

 private:
  QTemporaryDir folder_;
  QString path(const QString& name) const { return folder_.filePath(name); }
  static QString python() { return qEnvironmentVariable("HEADSCOPE_PYTHON", "python3"); }
  QByteArray runScript(const QString& model, const QString& ids, const QString& out, int& exitCode) const;

 private Q_SLOTS:
  void initTestCase();
  void capturesWhatTheModelSaw_data();
  void capturesWhatTheModelSaw();
  void refusesWhatItCannotDescribe();
};

void TstExportScript::initTestCase() {
  QProcess process;
  process.start(python(), {"-c", "import torch, safetensors, transformers; transformers.AttentionInterface"});
  if (!process.waitForFinished(120'000) || process.exitCode() != 0) {
    QSKIP("no Python with torch, safetensors and transformers 5 here (HEADSCOPE_PYTHON)");
  }
  if (!QDir(shared("models/families")).exists()) {
    QSKIP("the golden models (../shared/models/families) are not here");
  }
}

QByteArray TstExportScript::runScript(const QString& model, const QString& ids, const QString& out,
                                      int& exitCode) const {
  QProcess process;
  process.start(python(), {HEADSCOPE_SOURCE "/resources/export/capture_hf.py", model, "--ids-file", ids, "--out", out});
  exitCode = process.waitForFinished(120'000) ? process.exitCode() : -1;
  return process.readAllStandardError();
}

void TstExportScript::capturesWhatTheModelSaw_data() {
  QTest::addColumn<QString>("name");
  for (const char* name : {"llama_llama3", "qwen2_window", "gemma2", "gemma3_explicit", "gpt_oss", "glm", "cohere2",
                           "phi3_partial", "smollm3_default", "stablelm_parallel"}) {
    QTest::newRow(name) << QString(name);
  }
}

void TstExportScript::capturesWhatTheModelSaw() {
  QFETCH(QString, name);
  const QString folder = shared("models/families/") + name;
  const auto golden = SafetensorsFile::open((folder + "/golden.safetensors").toStdString());
  int code = 0;
  const QByteArray said =
      runScript(folder, idsFile(QDir(folder_.path()), "ids.json", goldenIds(*golden)), path("c.safetensors"), code);
  QVERIFY2(code == 0, said);
  const auto captured = SafetensorsFile::open(path("c.safetensors").toStdString());
  int layers = 0;
  for (; golden->find(concat("q_pre.", layers)) != nullptr; ++layers) {
    for (const char* side : {"q", "k"}) {
      const GoldenTensor expected = goldenTensor(*golden, concat(side, "_pre.", layers));
      const GoldenTensor found = goldenTensor(*captured, concat(side, ".", layers));
      QCOMPARE(found.shape, expected.shape);
      QVERIFY(difference(found.values, expected.values) <= 1e-5 * std::max(1.0, largest(expected.values)));
    }
    const GoldenTensor probabilities = goldenTensor(*golden, concat("probs.", layers));
    const QString map = path("m.npy");
    const CliResult result =
        cli({"map", path("c.safetensors"), "--layer", QString::number(layers), "--head", "1", "--out", map});
    QVERIFY2(result.failedWith(0), result.report());
    QVERIFY(difference(readNpy(map.toStdString()).numbers(), probabilities.slice(1)) <= 1e-5);
  }
  QVERIFY(layers > 0);
}

void TstExportScript::refusesWhatItCannotDescribe() {
  const QString folder = shared("models/families/hunyuan_dense");  // norms q and k after RoPE
  const auto golden = SafetensorsFile::open((folder + "/golden.safetensors").toStdString());
  int code = 0;
  const QByteArray said =
      runScript(folder, idsFile(QDir(folder_.path()), "ids.json", goldenIds(*golden)), path("none.safetensors"), code);
  QCOMPARE(code, 1);
  QVERIFY2(said.contains("RoPE alone does not explain"), said);
  QVERIFY(!QFile::exists(path("none.safetensors")));
}

QTEST_GUILESS_MAIN(TstExportScript)
#include "tst_export_script.moc"
