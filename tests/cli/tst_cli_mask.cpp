// mask show | check | convert through the command line.

#include <QTemporaryDir>
#include <QtTest>

#include "core/files/atomic_file.h"
#include "core/files/npy.h"
#include "tests/support/cli_process.h"
#include "tests/support/foreign_capture.h"

using namespace headscope;
using namespace headscope::test;

class TstCliMask : public QObject {
  Q_OBJECT

 private:
  QTemporaryDir folder_;
  QString path(const QString& name) const { return folder_.filePath(name); }
  QString file(const QString& name, const std::string& content) const {
    writeFile(path(name).toStdString(), content);
    return path(name);
  }
  Json show(const QStringList& arguments) const {
    const CliResult result = cli(QStringList{"mask", "show", "--json"} + arguments);
    if (!result.failedWith(0)) {
      throw Error("mask show", result.report().toStdString());
    }
    return result.json();
  }

 private Q_SLOTS:
  void showsAMask();
  void showsScoresAndOrders();
  void takesTheShapeFromACapture();
  void asksForWhatItLacks();
  void convertsInCircles();
  void convertsBetweenAxes();
  void cutsByOptions();
  void convertsOrders();
  void checksWhatConsumersMisread_data();
  void checksWhatConsumersMisread();
  void refusesAnotherShape();
};

void TstCliMask::showsAMask() {
  const Json json = show({file("p.json", R"({"0": [1, 0], "1": [3]})"), "--shape", "2,4,2"});
  QCOMPARE(json.at("kind").get<std::string>(), std::string("pruned_heads"));
  QCOMPARE(json.at("axis").get<std::string>(), std::string("query"));
  QCOMPARE(json.at("direction").get<std::string>(), std::string("drop"));
  QCOMPARE(json.at("layers").get<int>(), 2);
  QCOMPARE(json.at("heads").get<int>(), 4);
  QVERIFY(json.at("pruned") == Json::parse("[[0, 0], [0, 1], [1, 3]]"));
  QVERIFY(json.at("removable_kv_heads") == Json::parse("[[0, 0]]"));
  QVERIFY(json.at("warnings").empty());
  const Json all = show({path("p.json"), "--shape", "2,4,2", "--from", "pruned_heads", "--axis", "query"});
  QVERIFY(all == json);
  const CliResult text = cli({"mask", "show", path("p.json"), "--shape", "2,4,2"});
  QVERIFY2(text.failedWith(0) && text.out.contains("pruned: layer 1, head 3"), text.report());
}

void TstCliMask::showsScoresAndOrders() {
  const Json scores = show({file("s.json", R"({"0-0": [0.5, 0.25], "0-1": [0.1]})")});
  QCOMPARE(scores.at("direction").get<std::string>(), std::string("score"));
  QVERIFY(scores.at("scores") == Json::parse("[[0.375, 0.1]]"));
  QVERIFY(scores.at("pruned").empty());
  const Json order =
      show({file("o.json", R"({"method": "ShortGPT", "bi": [0.3, 0.1, 0.2], "prune_order": [1, 2, 0]})")});
  QCOMPARE(order.at("axis").get<std::string>(), std::string("layer"));
  QVERIFY(order.at("heads").is_null());
  QVERIFY(order.at("prune_order") == Json::parse("[1, 2, 0]"));
  QVERIFY(order.at("pruned").empty());
  QVERIFY(order.at("pruned_layers").empty());
  QVERIFY(show({path("o.json"), "--count", "2"}).at("pruned_layers") == Json::parse("[1, 2]"));
  const Json blocks =
      show({file("c.json", R"({"num_attention_heads": 8, "block_configs": [{"attention": {"n_heads_in_group": 4}},
                            {"attention": {"no_op": true}, "ffn": {"no_op": true}}]})")});
  QVERIFY(blocks.at("kv_heads_per_layer") == Json::parse("[2, 0]"));
  QVERIFY(blocks.at("pruned_layers") == Json::parse("[1]"));
  const Json lost = show({file("l.json", R"({"1": [0, 1]})"), "--shape", "2,2,1"});
  QCOMPARE(lost.at("warnings").size(), std::size_t{1});
}

void TstCliMask::takesTheShapeFromACapture() {
  ForeignCapture capture;
  capture.heads = 4;
  capture.kvHeads = 2;
  capture.tokens = 3;
  capture.layers.resize(2, {std::vector<float>(4 * 3 * 8, 1), std::vector<float>(2 * 3 * 8, 1)});
  writeForeignCapture(path("c.safetensors").toStdString(), capture);
  const Json json = show({file("p.json", R"({"1": [3]})"), "--model", path("c.safetensors")});
  QCOMPARE(json.at("layers").get<int>(), 2);
  QCOMPARE(json.at("heads").get<int>(), 4);
  QCOMPARE(json.at("kv_heads").get<int>(), 2);
  const QString model = shared("models/families/llama_plain");
  if (QFile::exists(model)) {
    QCOMPARE(show({path("p.json"), "--model", model}).at("heads").get<int>(), 4);
  }
}

void TstCliMask::asksForWhatItLacks() {
  const QString pruned = file("p.json", R"({"0": [1]})");
  const QString scores = file("s.json", R"({"0-0": [0.5], "0-1": [0.1]})");
  const QString order = file("o.json", R"({"prune_order": [1, 2, 0]})");
  const QString out = path("never");
  for (const QStringList& arguments :
       {QStringList{"show", pruned}, QStringList{"check", pruned},
        QStringList{"convert", pruned, "--to", "bertology", "--out", out},
        QStringList{"convert", scores, "--to", "bertology", "--out", out},
        QStringList{"convert", pruned, "--shape", "2,4,2", "--to", "duo_attention", "--out", out},
        QStringList{"convert", pruned, "--shape", "2,4", "--to", "duo_attention", "--rule", "any", "--out", out},
        QStringList{"convert", order, "--to", "llama_cpp", "--out", out},
        QStringList{"convert", order, "--to", "mergekit", "--name", "m", "--out", out},
        QStringList{"convert", order, "--to", "mergekit", "--count", "1", "--out", out},
        QStringList{"convert", order, "--to", "block_configs", "--count", "1", "--out", out},
        QStringList{"convert", pruned, "--shape", "2,4,2", "--to", "cofi", "--out", out},
        QStringList{"show", file("x.tsv", "0.25\t0.5\n")}}) {
    const CliResult result = cli(QStringList("mask") + arguments);
    QVERIFY2(result.failedWith(2), (arguments.join(' ').toUtf8() + ": " + result.report()));
    QVERIFY2(result.err.contains("\nTry 'headscope-cli mask"), result.report());
    QVERIFY(!QFile::exists(out));
  }
}

void TstCliMask::convertsInCircles() {
  QString from = file("p.json", R"({"0": [1], "2": [2, 3]})");
  for (const char* kind : {"bertology", "headscope", "safetensors", "minference", "qrhead", "pruned_heads"}) {
    const QString to = path(QString("circle.") + (QByteArray(kind) == "safetensors" ? "safetensors" : kind));
    const CliResult result = cli({"mask", "convert", from, "--shape", "3,4,2", "--to", kind, "--out", to, "--json"});
    QVERIFY2(result.failedWith(0), result.report());
    QVERIFY(result.json().at("pruned") == Json::parse("[[0, 1], [2, 2], [2, 3]]"));
    QCOMPARE(show({to, "--shape", "3,4,2"}).at("kind").get<std::string>(), std::string(kind));
    from = to;
  }
  QCOMPARE(readFile(from.toStdString()), std::string("{\"0\": [1], \"2\": [2, 3]}\n"));
}

void TstCliMask::convertsBetweenAxes() {
  const QString pruned = file("p.json", R"({"0": [0, 1], "1": [2]})");
  const auto convert = [&](const char* rule) {
    const CliResult result = cli({"mask", "convert", pruned, "--shape", "2,4,2", "--rule", rule, "--to",
                                  "duo_attention", "--out", path(QString("duo_") + rule), "--json"});
    return result.json().at("pruned");
  };
  QVERIFY(convert("any") == Json::parse("[[0, 0]]"));
  QVERIFY(convert("all") == Json::parse("[[0, 0], [1, 1]]"));
  QVERIFY(convert("mean") == Json::parse("[[0, 0]]"));
  QVERIFY(readJson(path("duo_any/config.json").toStdString()).contains("recent_size"));
  const CliResult checked = cli({"mask", "check", path("duo_all"), "--json"});
  QVERIFY2(checked.failedWith(0), checked.report());
  const CliResult back = cli({"mask", "convert", path("duo_all"), "--shape", "2,4,2", "--to", "pruned_heads", "--out",
                              path("q.json"), "--json"});
  QVERIFY2(back.failedWith(0), back.report());
  QVERIFY(back.json().at("pruned") == Json::parse("[[0, 0], [0, 1], [1, 2], [1, 3]]"));
  const CliResult wrong = cli({"mask", "show", path("duo_all"), "--axis", "query"});
  QVERIFY2(wrong.failedWith(1) && isOneLine(wrong.err), wrong.report());
}

void TstCliMask::cutsByOptions() {
  const QString scores = file("s.json", R"({"0-0": [0.25], "0-1": [0.1], "1-0": [1.0], "1-1": [0.0]})");
  QVERIFY(show({scores, "--threshold", "0.25"}).at("pruned") == Json::parse("[[0, 1], [1, 1]]"));
  QVERIFY(show({scores, "--threshold", "-0.5"}).at("pruned").empty());
  QVERIFY(show({scores, "--sparsity", "0.5"}).at("pruned") == Json::parse("[[0, 1], [1, 1]]"));
  QVERIFY(show({scores, "--count", "3"}).at("pruned") == Json::parse("[[0, 0], [0, 1], [1, 1]]"));
  const CliResult result =
      cli({"mask", "convert", scores, "--count", "1", "--to", "bertology", "--out", path("m.npy")});
  QVERIFY2(result.failedWith(0), result.report());
  QCOMPARE(readNpy(path("m.npy").toStdString()).numbers(), (std::vector<double>{1, 1, 1, 0}));
  QCOMPARE(readNpy(path("m.npy").toStdString()).type, NpyType::F32);
  const CliResult list = cli({"mask", "convert", scores, "--to", "qrhead_scores", "--out", path("q.json")});
  QVERIFY2(list.failedWith(0), list.report());
  QVERIFY(readJson(path("q.json").toStdString()) ==
          Json::parse(R"([["1-0", 1.0], ["0-0", 0.25], ["0-1", 0.1], ["1-1", 0.0]])"));
}

void TstCliMask::convertsOrders() {
  const QString order = file(
      "o.json", R"({"method": "ShortGPT", "model": "m", "bi": [0.3, 0.1, 0.2, 0.4], "prune_order": [1, 2, 0, 3]})");
  const auto convert = [&](const QString& from, const char* kind, const QStringList& more) {
    return cli(QStringList{"mask", "convert", from, "--to", kind, "--out", path(kind)} + more);
  };
  QVERIFY(convert(order, "llama_cpp", {"--count", "2"}).failedWith(0));
  QVERIFY(readFile(path("llama_cpp").toStdString()).find("1,2") != std::string::npos);
  QVERIFY(convert(order, "mergekit", {"--count", "1", "--name", "org/m"}).failedWith(0));
  QVERIFY(readFile(path("mergekit").toStdString()).find("layer_range: [2, 4]") != std::string::npos);
  QVERIFY(convert(order, "block_configs", {"--count", "1", "--shape", "4,8,2"}).failedWith(0));
  QVERIFY(show({path("block_configs")}).at("kv_heads_per_layer") == Json::parse("[2, 0, 2, 2]"));
  QVERIFY(show({path("mergekit"), "--shape", "4,8,2"}).at("pruned_layers") == Json::parse("[1]"));
  QVERIFY(convert(order, "tappa_scores", {}).failedWith(0));
  QVERIFY(convert(path("tappa_scores"), "tappa_order", {}).failedWith(0));
  QVERIFY(readJson(path("tappa_order").toStdString()).at("prune_order") == Json::parse("[1, 2, 0, 3]"));
  const CliResult refused =
      convert(file("q.json", R"({"score_type": "q_similarity", "scores": [0.2, 0.1], "prune_order": [1, 0]})"),
              "tappa_order", {});
  QVERIFY2(refused.failedWith(1) && isOneLine(refused.err) && refused.err.contains("no order of removal"),
           refused.report());
  QVERIFY2(refused.err.contains("q.json"), refused.report());
  const CliResult heads = convert(order, "pruned_heads", {"--count", "1"});
  QVERIFY2(heads.failedWith(1) && isOneLine(heads.err), heads.report());
}

void TstCliMask::checksWhatConsumersMisread_data() {
  QTest::addColumn<QString>("name");
  QTest::addColumn<QByteArray>("content");
  QTest::addColumn<bool>("sound");
  const auto row = [](const char* tag, const char* name, const char* content, bool sound) {
    QTest::newRow(tag) << QString(name) << QByteArray(content) << sound;
  };
  row("retrieval_head", "a.json", R"({"0-0": [1], "0-1": [0.5]})", true);
  row("retrieval_head in another order", "a.json", R"({"0-1": [1], "0-0": [0.5]})", false);
  row("retrieval_head, incomplete", "a.json", R"({"0-0": [1], "1-0": [0.5], "1-1": [1]})", false);
  row("retrieval_head on two lines", "a.json", "{\"0-0\": [1],\n \"0-1\": [0.5]}", false);
  row("an order that falls", "a.json", R"({"method": "TAPPA", "tappa_score": [1, 2], "prune_order": [1, 0]})", false);
  row("an order that rises", "a.json", R"({"method": "TAPPA", "tappa_score": [1, 2], "prune_order": [0, 1]})", true);
  row("overlapping ranges", "a.yaml",
      "slices:\n- sources:\n  - model: m\n    layer_range: [0, 2]\n- sources:\n  - model: m\n    layer_range: [1, 2]\n",
      false);
  row("ranges", "a.yaml",
      "slices:\n- sources:\n  - model: m\n    layer_range: [0, 1]\n- sources:\n  - model: m\n    layer_range: [1, 2]\n",
      true);
  row("a pickle that asks for more", "zs.pt",
      "\x80\x02"
      "cos\nsystem\n.",
      false);
  row("scores out of order", "a.json", R"([["0-0", 0.1], ["0-1", 0.2]])", false);
}

void TstCliMask::checksWhatConsumersMisread() {
  QFETCH(QString, name);
  QFETCH(QByteArray, content);
  QFETCH(bool, sound);
  const CliResult result = cli({"mask", "check", file(name, content.toStdString()), "--shape", "2,2,1"});
  const bool layers = content.contains("prune_order");
  const CliResult plain = layers || content.contains("0-1") ? cli({"mask", "check", path(name)}) : result;
  for (const CliResult& one : {result, plain}) {
    if (sound && &one == &plain) {
      QVERIFY2(one.failedWith(0), one.report());
    } else if (!sound) {
      QVERIFY2(one.failedWith(1) && isOneLine(one.err) && one.err.contains(name.toUtf8()), one.report());
    }
  }
}

void TstCliMask::refusesAnotherShape() {
  const QString mask = path("m.npy");
  const std::int64_t shape[] = {2, 4};
  writeNpy(mask.toStdString(), shape, std::vector<float>{1, 1, 1, 1, 0, 1, 1, 1});
  QVERIFY(cli({"mask", "check", mask, "--shape", "2,4,2"}).failedWith(0));
  for (const char* other : {"3,4,2", "2,8,2"}) {
    const CliResult result = cli({"mask", "check", mask, "--shape", other});
    QVERIFY2(result.failedWith(1) && isOneLine(result.err), result.report());
  }
}

QTEST_GUILESS_MAIN(TstCliMask)
#include "tst_cli_mask.moc"
