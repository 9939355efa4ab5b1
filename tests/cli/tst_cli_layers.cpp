// prune-order and perplexity through the command line.

#include <QTemporaryDir>
#include <QtTest>
#include <cmath>

#include "core/files/atomic_file.h"
#include "tests/support/cli_process.h"

using namespace headscope;
using namespace headscope::test;

class TstCliLayers : public QObject {
  Q_OBJECT

 private:
  QTemporaryDir folder_;
  QString path(const QString& name) const { return folder_.filePath(name); }
  QString file(const QString& name, const std::string& content) const {
    writeFile(path(name).toStdString(), content);
    return path(name);
  }

 private Q_SLOTS:
  void makesPublishedOrders_data();
  void makesPublishedOrders();
  void ordersSmallScores();
  void refusesScoresThatDontFit_data();
  void refusesScoresThatDontFit();
  void saysWrongUse_data();
  void saysWrongUse();
  void scoresLayersAsAnalyzeDoes();
  void weighsSegmentsEqually();
  void measuresPerplexity();
  void slidesItsWindow();
};

void TstCliLayers::makesPublishedOrders_data() {
  QTest::addColumn<QString>("model");
  for (const char* model : {"llama-2-7b", "llama-3.1-8b", "qwen-2.5-7b"}) {
    QTest::newRow(model) << QString(model);
  }
}

void TstCliLayers::makesPublishedOrders() {
  QFETCH(QString, model);
  const QString scores = shared("data/tappa-scores/") + model;
  if (!QFile::exists(scores + "_bi.json")) {
    QSKIP("the published scores (../shared/data/tappa-scores) are not here");
  }
  const auto same = [&](const QStringList& arguments, const QString& golden) {
    const CliResult result = cli(QStringList("prune-order") + arguments + QStringList{"--out", path("o.json")});
    QVERIFY2(result.failedWith(0), result.report());
    Json made = readJson(path("o.json").toStdString());
    Json expected = readJson((shared("tappa/bi/orders/") + model + golden).toStdString());
    for (Json* json : {&made, &expected}) {
      json->erase("bi_file");  // paths as they were given
      json->erase("q_file");
    }
    QVERIFY(made == expected);
    QVERIFY(cli({"mask", "check", path("o.json")}).failedWith(0));
  };
  for (const QString& beta : {QStringLiteral("0.1"), QStringLiteral("0.2"), QStringLiteral("0.3")}) {
    same({"--method", "tappa", "--beta", beta, "--bi", scores + "_bi.json", "--qsim", scores + "_q_similarity.json"},
         "_tappa_beta" + beta + ".json");
  }
  same({"--method", "shortgpt", "--bi", scores + "_bi.json"}, "_shortgpt.json");
}

void TstCliLayers::ordersSmallScores() {
  const QString bi = file("bi.json", R"({"score_type": "BI", "model": "m", "scores": [0.5, 0.125, 0.125, 0.3125]})");
  const QString q = file("q.json", R"({"score_type": "q_similarity", "scores": [0.5, 1.0, 0.75, 1.0]})");
  const auto order = [&](const QStringList& arguments) {
    return cli(QStringList("prune-order") + arguments + QStringList("--json")).json();
  };
  QVERIFY(order({"--method", "shortgpt", "--bi", bi}).at("prune_order") == Json::parse("[1, 2, 3, 0]"));
  QVERIFY(order({"--method", "qsim", "--qsim", q}).at("prune_order") == Json::parse("[1, 3, 2, 0]"));
  const Json tappa = order({"--method", "tappa", "--beta", "1", "--bi", bi, "--qsim", q});
  QVERIFY(tappa.at("prune_order") == Json::parse("[1, 2, 3, 0]"));  // 0, 0.5, 0.5, 2: ties by index
  QCOMPARE(tappa.at("model").get<std::string>(), std::string("m"));
  QCOMPARE(tappa.at("tappa_score")[0].get<double>(), 2.0);
  const CliResult words = cli({"prune-order", "--method", "shortgpt", "--bi", bi});
  QCOMPARE(words.out, QByteArray("[1, 2, 3, 0]\n"));
  QVERIFY(order({"--method", "shortgpt", "--bi", bi, "--name", "other"}).at("model") == "other");
}

void TstCliLayers::refusesScoresThatDontFit_data() {
  QTest::addColumn<QString>("bi");
  QTest::addColumn<QString>("q");
  QTest::addColumn<QString>("says");
  const QString sound = R"({"score_type": "BI", "model": "m", "scores": [0.5, 0.1]})";
  const QString similar = R"({"score_type": "q_similarity", "model": "m", "scores": [0.5, 0.1]})";
  QTest::newRow("swapped") << similar << sound << "expected BI";
  QTest::newRow("twice BI") << sound << sound << "expected q_similarity";
  QTest::newRow("other model") << sound << R"({"score_type": "q_similarity", "model": "n", "scores": [0.5, 0.1]})"
                               << "of the model n";
  QTest::newRow("other length") << sound << R"({"score_type": "q_similarity", "model": "m", "scores": [0.5]})"
                                << "1 layers";
  QTest::newRow("null") << R"({"score_type": "BI", "scores": [0.5, null]})" << similar << "no number";
  QTest::newRow("empty") << R"({"score_type": "BI", "scores": []})" << similar << "no list of numbers";
  QTest::newRow("an order") << R"({"method": "ShortGPT", "prune_order": [0, 1]})" << similar << "score_type";
}

void TstCliLayers::refusesScoresThatDontFit() {
  QFETCH(QString, bi);
  QFETCH(QString, q);
  QFETCH(QString, says);
  const CliResult result =
      cli({"prune-order", "--method", "tappa", "--beta", "0.1", "--bi", file("bi.json", bi.toStdString()), "--qsim",
           file("q.json", q.toStdString()), "--out", path("never.json")});
  QVERIFY2(result.failedWith(1) && isOneLine(result.err) && result.err.contains(says.toUtf8()), result.report());
  QVERIFY(!QFile::exists(path("never.json")));
}

void TstCliLayers::saysWrongUse_data() {
  QTest::addColumn<QStringList>("arguments");
  const auto row = [](const char* arguments) { QTest::newRow(arguments) << QString(arguments).split(' '); };
  row("prune-order");
  row("prune-order --method magic --bi a");
  row("prune-order --method tappa --bi a --qsim b");
  row("prune-order --method tappa --beta 0.1 --bi a");
  row("prune-order --method shortgpt --bi a --qsim b");
  row("prune-order --method shortgpt --bi a --beta 0.1");
  row("prune-order --method shortgpt");
  row("prune-order M --method shortgpt");
  row("prune-order --method shortgpt --corpus a");
  row("prune-order M --method shortgpt --corpus a --bi b");
  row("perplexity M");
  row("perplexity M --corpus a --ids-file b");
  row("perplexity M --corpus a --stride 3");
  row("perplexity M --corpus a --context 4 --stride 5");
  row("perplexity M --corpus a --context 1");
}

void TstCliLayers::saysWrongUse() {
  QFETCH(QStringList, arguments);
  const CliResult result = cli(arguments);
  QVERIFY2(result.failedWith(2) && result.err.contains("\nTry 'headscope-cli"), result.report());
}

void TstCliLayers::scoresLayersAsAnalyzeDoes() {
  const QString model = shared("models/stories260K");
  if (!QFile::exists(model)) {
    QSKIP("stories260K (../shared/models) is not here");
  }
  // One segment: the published setting and analyze then look at the same run.
  const QString text = "Once upon a time there was a dog. The dog had a ball.";
  const QString corpus = file("one.txt", text.toStdString());
  const Json order =
      cli({"prune-order", model, "--method", "tappa", "--beta", "0.5", "--corpus", corpus, "--json"}).json();
  const Json report = cli({"analyze", model, "--text", text, "--json"}).json();
  for (std::size_t layer = 0; layer < 5; ++layer) {
    const Json& scores = report.at("per_layer")[layer].at("scores");
    QVERIFY(std::abs(order.at("bi")[layer].get<double>() - scores.at("block_influence").get<double>()) < 1e-12);
    QVERIFY(std::abs(order.at("q_similarity")[layer].get<double>() - scores.at("q_similarity_prune").get<double>()) <
            1e-12);
  }
  QCOMPARE(order.at("prune_order").size(), std::size_t{5});
}

void TstCliLayers::weighsSegmentsEqually() {
  const QString model = shared("models/stories260K");
  if (!QFile::exists(model)) {
    QSKIP("stories260K (../shared/models) is not here");
  }
  // 257 tokens: segments of 257 and of 1; the second has no pair for q-similarity but a block influence.
  std::vector<std::int64_t> ids;
  for (std::int64_t t = 0; t < 257; ++t) {
    ids.push_back(3 + (t * 37) % 500);
  }
  const auto scores = [&](const std::string& lines, const char* name) {
    return cli({"prune-order", model, "--method", "tappa", "--beta", "0", "--corpus", file(name, lines), "--json"})
        .json();
  };
  const Json both = scores(Json(ids).dump(), "both.jsonl");
  const Json last = scores(Json(std::vector<std::int64_t>{ids.back(), ids.back()}).dump(), "last.jsonl");
  QVERIFY(both.at("bi").size() == 5 && last.at("bi").size() == 5);
  const Json whole =
      cli({"analyze", model, "--ids-file", idsFile(QDir(folder_.path()), "ids.json", ids), "--json"}).json();
  const Json single =
      cli({"analyze", model, "--ids-file", idsFile(QDir(folder_.path()), "single.json", {ids.back()}), "--json"})
          .json();
  for (std::size_t layer = 0; layer < 5; ++layer) {
    const auto influence = [&](const Json& json) {
      return json.at("per_layer")[layer].at("scores").at("block_influence").get<double>();
    };
    QVERIFY(std::abs(both.at("bi")[layer].get<double>() - (influence(whole) + influence(single)) / 2) < 1e-9);
    QVERIFY(std::abs(both.at("q_similarity")[layer].get<double>() -
                     whole.at("per_layer")[layer].at("scores").at("q_similarity_prune").get<double>()) < 1e-9);
  }
  const CliResult nothing =
      cli({"prune-order", model, "--method", "shortgpt", "--corpus", file("short.jsonl", "[5]\n[6]\n"), "--json"});
  QVERIFY2(nothing.failedWith(1) && nothing.err.contains("short.jsonl"), nothing.report());
}

void TstCliLayers::measuresPerplexity() {
  const QString model = shared("models/stories260K");
  if (!QFile::exists(model)) {
    QSKIP("stories260K (../shared/models) is not here");
  }
  const std::string first = "Once upon a time, there was a little girl named Lily.";
  const std::string second = "She loved to play outside in the park with her big red ball.";
  const auto run = [&](const std::string& text) {
    return cli({"run", model, "--text", QString::fromStdString(text), "--json"}).json();
  };
  const CliResult result = cli(
      {"perplexity", model, "--corpus", file("two.jsonl", Json(first).dump() + "\n" + Json(second).dump()), "--json"});
  QVERIFY2(result.failedWith(0), result.report());
  const Json a = run(first);
  const Json b = run(second);
  const double predicted = a.at("tokens").get<double>() + b.at("tokens").get<double>() - 2;
  const double nll = (a.at("loss").get<double>() * (a.at("tokens").get<double>() - 1) +
                      b.at("loss").get<double>() * (b.at("tokens").get<double>() - 1)) /
                     predicted;
  QCOMPARE(result.json().at("tokens").get<double>(), predicted);
  QVERIFY(std::abs(result.json().at("nll").get<double>() - nll) < 1e-9);
  QVERIFY(std::abs(result.json().at("perplexity").get<double>() - std::exp(nll)) < 1e-6);
}

void TstCliLayers::slidesItsWindow() {
  const QString model = shared("models/stories260K");
  if (!QFile::exists(model)) {
    QSKIP("stories260K (../shared/models) is not here");
  }
  std::vector<std::int64_t> ids{1};
  for (std::int64_t t = 0; t < 19; ++t) {
    ids.push_back(260 + (t * 29) % 200);
  }
  const QDir folder(folder_.path());
  const QString whole = idsFile(folder, "whole.json", ids);
  // Loss of each token given the `context` tokens in front of its window.
  const auto loss = [&](std::size_t begin, std::size_t end) {
    const std::vector<std::int64_t> part(ids.begin() + std::ptrdiff_t(begin), ids.begin() + std::ptrdiff_t(end));
    const Json json = cli({"run", model, "--ids-file", idsFile(folder, "part.json", part), "--json"}).json();
    return json.at("loss").get<double>() * double(part.size() - 1);
  };
  const auto perplexity = [&](const QStringList& more) {
    return cli(QStringList{"perplexity", model, "--ids-file", whole, "--json"} + more).json();
  };
  const Json separate = perplexity({"--context", "8"});  // [0, 8), [8, 16), [16, 20)
  QCOMPARE(separate.at("tokens").get<int>(), 17);
  QVERIFY(std::abs(separate.at("nll").get<double>() - (loss(0, 8) + loss(8, 16) + loss(16, 20)) / 17) < 1e-6);
  const Json sliding = perplexity({"--context", "8", "--stride", "4"});  // [0, 8), [4, 12), [8, 16), [12, 20)
  QCOMPARE(sliding.at("tokens").get<int>(), 19);
  const double expected =
      loss(0, 8) + (loss(4, 12) - loss(4, 8)) + (loss(8, 16) - loss(8, 12)) + (loss(12, 20) - loss(12, 16));
  QVERIFY(std::abs(sliding.at("nll").get<double>() - expected / 19) < 1e-5);
  QVERIFY(std::abs(perplexity({}).at("nll").get<double>() - loss(0, 20) / 19) < 1e-9);
}

QTEST_GUILESS_MAIN(TstCliLayers)
#include "tst_cli_layers.moc"
