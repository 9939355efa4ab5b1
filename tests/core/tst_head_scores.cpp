// The scores of cli.md against their definitions written out over a dense softmax, on every kind of capture;
// identities.

#include <QtTest>
#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "core/analysis/head_scores.h"
#include "core/analysis/logit_rows.h"
#include "core/analysis/q_similarity.h"
#include "core/analysis/report.h"
#include "core/analysis/retrieval.h"
#include "tests/support/synthetic_capture.h"

using namespace headscope;
using namespace headscope::test;

namespace {

double meanOverRows(std::int64_t tokens, auto value) {
  double sum = 0;
  for (std::int64_t t = 1; t < tokens; ++t) {
    sum += value(t);
  }
  return sum / static_cast<double>(tokens - 1);
}

/// Indices of the `count` largest, ties to the lower index.
std::set<std::int64_t> largest(const std::vector<double>& mass, std::int64_t count) {
  std::vector<std::int64_t> order(mass.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](auto a, auto b) {
    return mass[static_cast<std::size_t>(a)] > mass[static_cast<std::size_t>(b)];
  });
  return {order.begin(), order.begin() + count};
}

double denseRecall(const DenseHead& dense) {
  const std::int64_t tokens = dense.tokens;
  std::vector<double> column(static_cast<std::size_t>(tokens), 0.0), distance(column);
  for (std::int64_t t = std::max<std::int64_t>(1, tokens - 64); t < tokens; ++t) {
    for (std::int64_t i = 0; i <= t; ++i) {
      column[static_cast<std::size_t>(i)] += dense.probability(t, i);
      distance[static_cast<std::size_t>(t - i)] += dense.probability(t, i);
    }
  }
  const std::int64_t count = (tokens + 31) / 32;
  const std::set<std::int64_t> columns = largest(column, count), distances = largest(distance, count);
  return meanOverRows(tokens, [&](std::int64_t t) {
    double sum = 0;
    for (std::int64_t i = 0; i <= t; ++i) {
      sum += columns.contains(i) || distances.contains(t - i) ? dense.probability(t, i) : 0;
    }
    return sum;
  });
}

HeadScores denseScores(const DenseHead& dense, const std::vector<std::int64_t>& ids) {
  const std::int64_t tokens = dense.tokens;
  const auto p = [&](std::int64_t t, std::int64_t i) { return i < 0 || i > t ? 0.0 : dense.probability(t, i); };
  const auto rowSum = [&](std::int64_t t, auto weight) {
    double sum = 0;
    for (std::int64_t i = 0; i <= t; ++i) {
      sum += p(t, i) > 0 ? weight(i, p(t, i)) : 0;
    }
    return sum;
  };
  HeadScores scores;
  scores[Score::Entropy] = meanOverRows(
      tokens, [&](std::int64_t t) { return rowSum(t, [](std::int64_t, double x) { return -x * std::log(x); }); });
  scores[Score::SinkMass] = meanOverRows(tokens, [&](std::int64_t t) { return p(t, 0); });
  scores[Score::PreviousToken] = meanOverRows(tokens, [&](std::int64_t t) { return p(t, t - 1); });
  scores[Score::SelfMass] = meanOverRows(tokens, [&](std::int64_t t) { return p(t, t); });
  scores[Score::LocalMass] = meanOverRows(
      tokens, [&](std::int64_t t) { return rowSum(t, [t](std::int64_t i, double x) { return i > t - 32 ? x : 0; }); });
  scores[Score::MeanDistance] = meanOverRows(tokens, [&](std::int64_t t) {
    return rowSum(t, [t](std::int64_t i, double x) { return x * static_cast<double>(t - i); });
  });
  double duplicate = 0, induction = 0;
  int repeated = 0;
  for (std::int64_t t = 0; t < tokens; ++t) {
    bool found = false;
    for (std::int64_t i = 0; i < t; ++i) {
      if (ids[static_cast<std::size_t>(i)] == ids[static_cast<std::size_t>(t)]) {
        found = true;
        duplicate += p(t, i);
        induction += p(t, i + 1);
      }
    }
    repeated += found ? 1 : 0;
  }
  if (repeated > 0) {
    scores[Score::DuplicateToken] = duplicate / repeated;
    scores[Score::Induction] = induction / repeated;
  }
  scores[Score::VerticalSlashRecall] = denseRecall(dense);
  return scores;
}

SyntheticCapture withTokens(std::int64_t tokens) {
  SyntheticCapture options;
  options.tokens = tokens;
  return options;
}

}  // namespace

class TestHeadScores : public QObject {
  Q_OBJECT

 private slots:
  void definitions_data();
  void definitions();
  void rowsSumToOne();
  void oneTokenHasNoScore();
  void repeatedTokens();
  void withoutIds();
  void missingLogSumExpIsComputed();
  void sampleIsAnEstimate();
  void runsCoverAllRows();
  void curves();
  void needles();
  void retrieval();
  void retrievalFromASample();
  void everyFigureIsDefined();
};

void TestHeadScores::definitions_data() {
  QTest::addColumn<int>("kind");
  int index = 0;
  for (const auto& [name, options] : capturesOfEveryKind(150)) {
    QTest::newRow(name.c_str()) << index++;
  }
}

void TestHeadScores::definitions() {
  QFETCH(int, kind);
  const auto capture = makeCapture(capturesOfEveryKind(150)[static_cast<std::size_t>(kind)].second);
  std::vector<std::int64_t> ids;
  for (std::int64_t t = 0; t < 150; ++t) {
    ids.push_back((t * t) % 23);
  }
  double worst = 0;
  for (int h = 0; h < capture->layer(0).heads; ++h) {
    HeadScores scores;
    attentionScores(makeHeadVectors(*capture, 0, h), EarlierTokens(ids), {}, {}, scores);
    const HeadScores expected = denseScores(denseHead(*capture, 0, h), ids);
    for (std::size_t s = static_cast<std::size_t>(Score::Entropy); s < kScoreCount; ++s) {
      const double error =
          std::abs(scores.values[s] - expected.values[s]) / std::max(1.0, std::abs(expected.values[s]));
      QVERIFY2(error < 1e-5, scoreDefinitions()[s].name.data());  // stored lse and the oracle's angles are float32
      worst = std::max(worst, error);
    }
  }
  qInfo("largest error %.2g", worst);
}

void TestHeadScores::rowsSumToOne() {
  for (const auto& [name, options] : capturesOfEveryKind(90)) {
    const auto capture = makeCapture(options);
    const HeadVectors head = makeHeadVectors(*capture, 0, 0);
    LogitRows rows(head);
    rows.visit({0, 90}, [&, &kind = name](const AttentionRow& row) {
      if (!head.sink) {
        QVERIFY2(std::abs(row.sums.mass - 1) < 1e-5, kind.c_str());
      } else {
        QVERIFY2(row.sums.mass < 1, kind.c_str());
      }
    });
  }
}

void TestHeadScores::oneTokenHasNoScore() {
  const auto capture = makeCapture(withTokens(1));
  HeadScores scores;
  const HeadVectors head = makeHeadVectors(*capture, 0, 0);
  similarityScores(head, scores);
  attentionScores(head, EarlierTokens(capture->header().ids), {}, {}, scores);
  for (const double value : scores.values) {
    QVERIFY(std::isnan(value));
  }
}

void TestHeadScores::repeatedTokens() {
  const EarlierTokens earlier(std::vector<std::int64_t>{5, 7, 5, 5, 9, 7});
  const std::vector<std::int64_t> expected{-1, -1, 0, 2, -1, 1};
  for (std::size_t t = 0; t < expected.size(); ++t) {
    QCOMPARE(earlier.previous(static_cast<std::int64_t>(t)), expected[t]);
  }
  // One token over and over: all mass but that on t itself is on duplicates, all but that on 0 right after one.
  const auto capture = makeCapture(withTokens(70));
  HeadScores scores;
  attentionScores(makeHeadVectors(*capture, 0, 0), EarlierTokens(std::vector<std::int64_t>(70, 3)), {}, {}, scores);
  QVERIFY(std::abs(scores[Score::DuplicateToken] + scores[Score::SelfMass] - 1) < 1e-6);
  QVERIFY(std::abs(scores[Score::Induction] + scores[Score::SinkMass] - 1) < 1e-6);
}

void TestHeadScores::withoutIds() {
  const auto capture = makeCapture(withTokens(40));
  HeadScores scores, unique;
  attentionScores(makeHeadVectors(*capture, 0, 0), EarlierTokens(), {}, {}, scores);
  QVERIFY(std::isnan(scores[Score::DuplicateToken]) && std::isnan(scores[Score::Induction]));
  QVERIFY(!std::isnan(scores[Score::Entropy]));
  std::vector<std::int64_t> ids(40);
  std::iota(ids.begin(), ids.end(), 0);
  attentionScores(makeHeadVectors(*capture, 0, 0), EarlierTokens(ids), {}, {}, unique);
  QVERIFY(std::isnan(unique[Score::Induction]));  // no row repeats a token
}

void TestHeadScores::missingLogSumExpIsComputed() {
  for (const auto& [name, options] : capturesOfEveryKind(80)) {
    const auto capture = makeCapture(options);
    HeadVectors head = makeHeadVectors(*capture, 0, 0);
    const std::vector<double> stored = head.lse;
    head.lse.clear();
    const std::vector<double> computed = logSumExp(head);
    for (std::size_t t = 0; t < stored.size(); ++t) {
      QVERIFY2(std::abs(stored[t] - computed[t]) < 2e-5, name.c_str());
    }
    HeadScores without, with;
    attentionScores(head, EarlierTokens(), {}, {}, without);
    head.lse = stored;
    attentionScores(head, EarlierTokens(), {}, {}, with);
    QVERIFY2(std::abs(without[Score::Entropy] - with[Score::Entropy]) < 1e-4, name.c_str());
  }
}

void TestHeadScores::sampleIsAnEstimate() {
  const auto capture = makeCapture(withTokens(600));
  const HeadVectors head = makeHeadVectors(*capture, 0, 0);
  const EarlierTokens earlier(capture->header().ids);
  HeadScores whole, sampled;
  attentionScores(head, earlier, {}, {}, whole);
  attentionScores(head, earlier, {160}, {}, sampled);
  QVERIFY(!RowSample{160}.exact(600) && RowSample{600}.exact(600) && RowSample{}.exact(600));
  QVERIFY(whole[Score::Entropy] != sampled[Score::Entropy]);
  QVERIFY(std::abs(whole[Score::Entropy] - sampled[Score::Entropy]) < 0.1 * whole[Score::Entropy]);
  QVERIFY(std::abs(whole[Score::LocalMass] - sampled[Score::LocalMass]) < 0.1);
}

void TestHeadScores::runsCoverAllRows() {
  for (const std::int64_t tokens : {1, 7, 24, 25, 300}) {
    for (const std::int64_t rows : {0, 1, 9, 100, 299}) {
      std::int64_t next = 0, count = 0;
      for (const RowRun& run : rowRuns(tokens, rows)) {
        QVERIFY(run.first >= next && run.count > 0);
        next = run.first + run.count;
        count += run.count;
      }
      QVERIFY(next <= tokens);
      QVERIFY(count == tokens || (rows > 0 && rows < tokens && count >= std::min(rows, tokens) - 7));
    }
  }
}

void TestHeadScores::curves() {
  const auto capture = makeCapture(withTokens(100));
  const DenseHead dense = denseHead(*capture, 0, 1);
  HeadScores scores;
  RowCurves curves;
  attentionScores(makeHeadVectors(*capture, 0, 1), EarlierTokens(), {}, {}, scores, &curves);
  double entropy = 0;
  for (std::size_t t = 1; t < 100; ++t) {
    entropy += curves.entropy[t] / 99;
  }
  QVERIFY(std::abs(entropy - scores[Score::Entropy]) < 1e-12);
  for (std::int64_t i = 0; i < 100; ++i) {
    double mass = 0;
    for (std::int64_t t = i; t < 100; ++t) {
      mass += dense.probability(t, i) / static_cast<double>(100 - i);
    }
    QVERIFY(std::abs(curves.receivedMass[static_cast<std::size_t>(i)] - mass) < 1e-6);
  }
}

void TestHeadScores::needles() {
  std::vector<std::int64_t> ids(200);
  std::iota(ids.begin(), ids.end(), 1000);
  QVERIFY(!findNeedle(ids));
  QVERIFY(!findNeedle({}));
  for (std::size_t j = 0; j < 7; ++j) {
    ids[150 + j] = ids[20 + j];
  }
  const auto found = findNeedle(ids);
  QVERIFY(found && found->needle == 20 && found->answer == 150 && found->tokens == 7);
  QVERIFY(!findNeedle(ids, 8));
  QVERIFY(!findNeedle(ids, 4, 131));
  const std::vector<std::int64_t> same(100, 5);
  const auto half = findNeedle(same);
  QVERIFY(half && half->tokens == 50 && half->needle == 0 && half->answer == 50);  // no overlap
}

void TestHeadScores::retrieval() {
  // A head that, in each row of the answer, looks at the needle's next token, and one that looks elsewhere.
  constexpr std::int64_t kTokens = 100;
  const NeedleSpan span{10, 80, 6};
  std::vector<std::int64_t> ids(kTokens);
  std::iota(ids.begin(), ids.end(), 0);
  for (std::int64_t j = 0; j < span.tokens; ++j) {
    ids[static_cast<std::size_t>(span.answer + j)] = ids[static_cast<std::size_t>(span.needle + j)];
  }
  std::vector<double> q(kTokens * kTokens, 0.0), k(q);
  for (std::int64_t i = 0; i < kTokens; ++i) {
    k[static_cast<std::size_t>(i * kTokens + i)] = 1;
    const std::int64_t next = i - (span.answer - 1);
    const std::int64_t target = next >= 0 && next < span.tokens ? span.needle + next : 0;
    q[static_cast<std::size_t>(i * kTokens + target)] = 20;
  }
  const HeadVectors copies = makeHeadVectors(q, k, kTokens, AttentionSpec{}, std::nullopt);
  const RetrievalScore score = retrievalScore(copies, ids, span);
  QVERIFY(std::abs(score.copied - 1) < 1e-12 && score.mass > 0.99);
  const HeadVectors even =
      makeHeadVectors(std::vector<double>(q.size(), 0.0), k, kTokens, AttentionSpec{}, std::nullopt);
  const RetrievalScore none = retrievalScore(even, ids, span);
  QVERIFY(none.copied == 0 && none.mass < 0.02 && none.mass > 0.01);
}

// A long answer, of which a head copies the first half: the sample is the mean over its own rows, each as a needle of
// one token.
void TestHeadScores::retrievalFromASample() {
  constexpr std::int64_t kHalf = 120, kTokens = 2 * kHalf;
  std::vector<std::int64_t> ids(kTokens);
  for (std::int64_t i = 0; i < kTokens; ++i) {
    ids[static_cast<std::size_t>(i)] = i % kHalf;
  }
  std::vector<double> q(kTokens * kTokens, 0.0), k(q);
  for (std::int64_t i = 0; i < kTokens; ++i) {
    k[static_cast<std::size_t>(i * kTokens + i)] = 1;
    const std::int64_t next = i - (kHalf - 1);
    q[static_cast<std::size_t>(i * kTokens + (next >= 0 && next < kHalf / 2 ? next : i))] = 6;
  }
  const HeadVectors head = makeHeadVectors(q, k, kTokens, AttentionSpec{}, std::nullopt);
  const NeedleSpan span{0, kHalf, kHalf};
  const RetrievalScore all = retrievalScore(head, ids, span);
  QCOMPARE(all.copied, 0.5);
  const RetrievalScore sampled = retrievalScore(head, ids, span, {}, RowSample{32});
  double copied = 0, mass = 0, rows = 0;
  for (const RowRun& run : rowRuns(kHalf, 32)) {
    for (std::int64_t j = run.first; j < run.first + run.count; ++j, ++rows) {
      const RetrievalScore one = retrievalScore(head, ids, {j, kHalf + j, 1});
      copied += one.copied;
      mass += one.mass;
    }
  }
  QCOMPARE(rows, 32.0);
  QVERIFY(std::abs(sampled.copied - copied / rows) < 1e-12 && std::abs(sampled.mass - mass / rows) < 1e-12);
  QVERIFY(std::abs(sampled.mass - all.mass) < 0.05);
  const RetrievalScore whole = retrievalScore(head, ids, span, {}, RowSample{kHalf});
  QVERIFY(whole.copied == all.copied && whole.mass == all.mass);
}

void TestHeadScores::everyFigureIsDefined() {
  std::set<std::string_view> names;
  for (const auto& list : {scoreDefinitions(), furtherDefinitions()}) {
    for (const ScoreDefinition& figure : list) {
      QVERIFY(names.insert(figure.name).second);
      QVERIFY(!figure.label.empty() && !figure.unit.empty() && figure.text.find('\n') == std::string_view::npos);
      QVERIFY(figure.low < figure.high);
      const QString page =
          QString(HEADSCOPE_SOURCE "/resources/help/%1.md").arg(QString::fromStdString(std::string(figure.helpPage)));
      QVERIFY2(QFile::exists(page), qPrintable(page));
    }
  }
  QCOMPARE(definition(Score::VerticalSlashRecall).name, std::string_view("vertical_slash_recall"));
  for (std::size_t m = 0; m < kMeasureCount; ++m) {
    QVERIFY(names.contains("q_similarity_" + std::string(measureName(static_cast<Measure>(m)))));
  }
  AnalysisOptions all;
  all.measures = true;
  // All but the one figure that only the window makes.
  std::set<std::string_view> reported;
  const auto definitions = reportDefinitions(all);
  for (const auto& [name, text] : definitions) {
    reported.insert(name);
  }
  QVERIFY(names.erase("needle_retrieval") == 1);
  QCOMPARE(reported == names, true);
  QVERIFY(reportDefinitions({}).size() < names.size());
}

QTEST_GUILESS_MAIN(TestHeadScores)
#include "tst_head_scores.moc"
