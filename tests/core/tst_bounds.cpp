// TAPPA's statements: equal to the golden arrays of ../shared/tappa/bounds, and never violated, whatever a family does
// to queries and keys.

#include <QtTest>
#include <cmath>
#include <random>

#include "core/analysis/bounds.h"
#include "core/files/json.h"
#include "tests/support/golden_tensors.h"

using namespace headscope;
using namespace headscope::test;

namespace {

const QString kFolder = QStringLiteral(HEADSCOPE_SHARED "/tappa/bounds");

Rope goldenRope(const Json& meta, const std::vector<double>& theta) {
  Rope rope;
  rope.pairing = meta["layout"] == "half" ? RopePairing::Half : RopePairing::Interleaved;
  rope.rotaryDims = meta["rotary_dim"];
  rope.base = meta["base"];
  rope.invFreq = theta;
  return rope;
}

std::vector<std::int64_t> positionsFrom(std::int64_t first, std::int64_t tokens) {
  std::vector<std::int64_t> positions;
  for (std::int64_t t = 0; t < tokens; ++t) {
    positions.push_back(first + t);
  }
  return positions;
}

/// What checkBounds must report for one statement, from the golden arrays of all pairs.
struct Expected {
  std::int64_t pairs = 0;
  double ratioSum = 0, ratioMax = 0;
  std::vector<double> measured, bound;  ///< largest per step

  void add(std::size_t t, double value, double limit, bool lower) {
    measured.resize(std::max(measured.size(), t + 1), lower ? -1e300 : 0.0);
    bound.resize(measured.size(), lower ? -1e300 : 0.0);
    measured[t] = std::max(measured[t], value);
    bound[t] = std::max(bound[t], limit);
    if (limit > 0) {
      ++pairs;
      const double ratio = lower ? limit / value : value / limit;
      ratioSum += ratio;
      ratioMax = std::max(ratioMax, ratio);
    }
  }
};

double relative(double value, double expected) {
  return std::abs(value - expected) / std::max(1e-3, std::abs(expected));
}

/// A random head of one kind; queries and keys drift, so that bounds are neither empty nor loose.
struct Kind {
  const char* name;
  int dim = 16, rotary = 16;
  RopePairing pairing = RopePairing::Half;
  double attentionScaling = 1;
  bool positionScale = false, norms = false, gaps = false, rope = true;
  std::vector<double> scaledBy = {};  ///< per channel factor on inv_freq
};

AttentionSpec specOf(const Kind& kind, std::mt19937& generator) {
  AttentionSpec spec;
  spec.scale = 0.37;
  std::uniform_real_distribution<float> weight(-0.5f, 2.0f);
  if (kind.norms) {
    PostRopeStep step;
    step.kind = PostRopeStep::Kind::RmsNorm;
    step.eps = 1e-5;
    for (int d = 0; d < kind.dim; ++d) {
      step.q.push_back(weight(generator));
      step.k.push_back(weight(generator));
    }
    spec.postRope.push_back(step);
  }
  if (kind.positionScale) {
    PostRopeStep step;
    step.beta = 0.1;
    step.original = 7;
    spec.postRope.push_back(step);
  }
  return spec;
}

HeadVectors randomHead(const Kind& kind, std::int64_t tokens, unsigned seed, double drift) {
  std::mt19937 generator(seed);
  std::normal_distribution<double> normal;
  const auto walk = [&](double size) {
    std::vector<double> rows(static_cast<std::size_t>(tokens * kind.dim));
    for (std::size_t j = 0; j < rows.size(); ++j) {
      const double before = j < static_cast<std::size_t>(kind.dim) ? 0 : rows[j - static_cast<std::size_t>(kind.dim)];
      rows[j] = (1 - drift) * before + drift * size * normal(generator) + 0.1 * (j % 3 == 0 ? 1 : -1);
    }
    return rows;
  };
  AttentionSpec spec = specOf(kind, generator);
  std::optional<Rope> rope;
  if (kind.rope) {
    rope.emplace();
    rope->pairing = kind.pairing;
    rope->rotaryDims = kind.rotary;
    rope->attentionScaling = kind.attentionScaling;
    for (int m = 0; m < kind.rotary / 2; ++m) {
      const double factor =
          kind.scaledBy.empty() ? 1 : kind.scaledBy[static_cast<std::size_t>(m) % kind.scaledBy.size()];
      rope->invFreq.push_back(factor * std::pow(10000.0, -2.0 * m / kind.rotary));
    }
  }
  std::vector<std::int64_t> positions = positionsFrom(0, tokens);
  for (std::int64_t t = 0; kind.gaps && t < tokens; ++t) {
    positions[static_cast<std::size_t>(t)] = t + 5 * (t / 9) + (t % 4 == 0 ? -1 : 0);
  }
  return makeHeadVectors(walk(3), walk(2), kind.dim, spec, rope, positions);
}

const std::vector<Kind>& kinds() {
  static const std::vector<Kind> all{
      {.name = "plain"},
      {.name = "partial", .dim = 20, .rotary = 8},
      {.name = "partial interleaved", .dim = 18, .rotary = 10, .pairing = RopePairing::Interleaved},
      {.name = "scaled frequencies", .scaledBy = {1, 1, 0.25, 0.125}},
      {.name = "a channel that stands still", .scaledBy = {1, 0}},
      {.name = "attention scaling", .dim = 20, .rotary = 16, .attentionScaling = 1.37},
      {.name = "position scale", .positionScale = true},
      {.name = "norms after RoPE", .norms = true},
      {.name = "norms after partial interleaved RoPE",
       .dim = 20,
       .rotary = 8,
       .pairing = RopePairing::Interleaved,
       .attentionScaling = 0.9,
       .positionScale = true,
       .norms = true},
      {.name = "gaps in the positions", .gaps = true},
      {.name = "gaps and norms", .norms = true, .gaps = true},
      {.name = "no RoPE", .rope = false},
  };
  return all;
}

}  // namespace

class TestBounds : public QObject {
  Q_OBJECT

 private slots:
  void golden();
  void neverViolated_data();
  void neverViolated();
  void violationsAreSeen();
  void equalQueriesGiveNoBound();
  void lengthsOfTexts();
  void samplesAreRowsOfTheWhole();
  void seasonIsTheBestLag();
  void stops();
};

void TestBounds::golden() {
  if (!QFile::exists(kFolder + "/captures.json")) {
    QSKIP("../shared/tappa/bounds is not here");
  }
  const Json captures = readJson((kFolder + "/captures.json").toStdString());
  const auto file = SafetensorsFile::open((kFolder + "/captures.safetensors").toStdString());
  constexpr std::array<const char*, kStatementCount> kNames{"p41", "t51", "t52", "t53", "t54"};
  std::array<double, kStatementCount> worst{};
  std::int64_t pairs = 0;
  for (const Json& meta : captures) {
    const std::string name = meta["name"];
    const std::int64_t tokens = meta["tokens"];
    const GoldenTensor q = goldenTensor(*file, name + ".q"), k = goldenTensor(*file, name + ".k");
    const Rope rope = goldenRope(meta, goldenTensor(*file, name + ".theta").values);
    for (int h = 0; h < meta["heads"]; ++h) {
      AttentionSpec spec;
      spec.scale = meta["sigma"];
      const HeadVectors head = makeHeadVectors(q.slice(h), k.slice(h), meta["head_dim"], spec, rope,
                                               positionsFrom(meta["first_position"], tokens));
      const BoundReport report = checkBounds(head, {meta["season"].get<std::int64_t>(), {}, true});
      const std::int64_t period = meta["diagonal_period"][static_cast<std::size_t>(h)];
      QCOMPARE(report.diagonalPeriod, period < tokens ? period : 0);
      for (std::size_t s = 0; s < kStatementCount; ++s) {
        const std::vector<double> measured = goldenTensor(*file, name + "." + kNames[s] + "_measured").slice(h);
        const std::vector<double> bound = goldenTensor(*file, name + "." + kNames[s] + "_bound").slice(h);
        const std::int64_t season = meta["season"];
        const std::int64_t width = s == 0 ? 1 : s == 3 ? tokens : s == 4 ? tokens - season : tokens - 1;
        Expected expected;
        for (std::size_t j = 0; j < measured.size(); ++j) {
          expected.add(j / static_cast<std::size_t>(width), measured[j], bound[j], s == 0);
        }
        const BoundSummary& summary = report.summaries[s];
        QCOMPARE(summary.violations, std::int64_t{0});
        QCOMPARE(summary.pairs, expected.pairs);
        pairs += summary.pairs;
        if (summary.pairs > 0) {
          worst[s] =
              std::max({worst[s], relative(*summary.tightnessMax, expected.ratioMax),
                        relative(*summary.tightnessMean, expected.ratioSum / static_cast<double>(expected.pairs))});
        }
        for (std::size_t t = 0; t < expected.measured.size(); ++t) {
          if (!std::isnan(report.curves[s].measured[t])) {
            worst[s] = std::max({worst[s], relative(report.curves[s].measured[t], expected.measured[t]),
                                 relative(report.curves[s].bound[t], expected.bound[t])});
          } else {
            QVERIFY(expected.bound[t] <= 0);
          }
        }
      }
    }
  }
  qInfo("%lld pairs; largest relative error: 4.1 %.2g, 5.1 %.2g, 5.2 %.2g, 5.3 %.2g, 5.4 %.2g",
        static_cast<long long>(pairs), worst[0], worst[1], worst[2], worst[3], worst[4]);
  for (const double error : worst) {
    QVERIFY(error < 1e-10);
  }
}

void TestBounds::neverViolated_data() {
  QTest::addColumn<int>("kind");
  for (std::size_t j = 0; j < kinds().size(); ++j) {
    QTest::newRow(kinds()[j].name) << static_cast<int>(j);
  }
}

void TestBounds::neverViolated() {
  QFETCH(int, kind);
  std::array<double, kStatementCount> tightest{};
  for (unsigned seed = 1; seed <= 12; ++seed) {
    const double drift = seed % 3 == 0 ? 1.0 : seed % 3 == 1 ? 0.2 : 0.01;
    const HeadVectors head = randomHead(kinds()[static_cast<std::size_t>(kind)], 20 + 9 * seed, seed, drift);
    const BoundReport report = checkBounds(head, {2 + seed % 5, {}, true});
    for (std::size_t s = 0; s < kStatementCount; ++s) {
      QCOMPARE(report.summaries[s].violations, std::int64_t{0});
      if (report.summaries[s].tightnessMax) {
        QVERIFY(*report.summaries[s].tightnessMax <= 1 + 1e-9);
        tightest[s] = std::max(tightest[s], *report.summaries[s].tightnessMax);
      }
    }
    for (const Statement statement : {Statement::Theorem51, Statement::Theorem52, Statement::Theorem54}) {
      const std::int64_t lag = statement == Statement::Theorem54 ? report.season : 1;
      const std::int64_t rows = head.tokens() - lag;
      QVERIFY(report[statement].pairs <= rows * (rows + 1) / 2);
    }
  }
  qInfo("tightest: 4.1 %.3f, 5.1 %.3f, 5.2 %.3f, 5.3 %.3f, 5.4 %.3f", tightest[0], tightest[1], tightest[2],
        tightest[3], tightest[4]);
  for (const Statement statement : {Statement::Theorem51, Statement::Theorem52, Statement::Theorem54}) {
    QVERIFY(tightest[static_cast<std::size_t>(statement)] > 0.05);  // a bound that says nothing would hold, too
  }
}

void TestBounds::violationsAreSeen() {
  // The same head with logits that RoPE alone does not explain: keys in the dot product that belong to other positions.
  HeadVectors head = randomHead(kinds()[0], 60, 4, 0.01);
  auto keys = std::make_shared<KeyVectors>(*head.keys);
  for (std::size_t j = 0; j < keys->dotK.size(); ++j) {
    keys->dotK[j] *= (j / 16) % 2 == 0 ? 3.0 : -3.0;
  }
  keys->packed = PackedRows(keys->dotK.data(), 60, 16);
  head.keys = keys;
  const BoundReport report = checkBounds(head);
  QVERIFY(report[Statement::Theorem52].violations > 100);
  QVERIFY(*report[Statement::Theorem52].tightnessMax > 1);
}

void TestBounds::equalQueriesGiveNoBound() {
  std::vector<double> q, k;
  for (int t = 0; t < 30; ++t) {
    for (int d = 0; d < 8; ++d) {
      q.push_back(0.5 + d);
      k.push_back(std::sin(t * 1.7 + d));
    }
  }
  const HeadVectors head = makeHeadVectors(q, k, 8, AttentionSpec{}, std::nullopt);
  const BoundReport report = checkBounds(head);
  QCOMPARE(report[Statement::Proposition41].pairs, std::int64_t{0});
  QVERIFY(!report[Statement::Proposition41].tightnessMean);
  QCOMPARE(report[Statement::Theorem51].pairs, std::int64_t{0});  // nothing changes, and nothing may
  QCOMPARE(report[Statement::Theorem53].pairs, std::int64_t{0});
  QVERIFY(report[Statement::Theorem52].pairs > 0);
}

void TestBounds::lengthsOfTexts() {
  for (std::int64_t tokens = 1; tokens <= 60; ++tokens) {
    const BoundReport report = checkBounds(randomHead(kinds()[0], tokens, 3, 0.3), {2, {}, true});
    QCOMPARE(report[Statement::Theorem51].pairs, tokens * (tokens - 1) / 2);
    QCOMPARE(report[Statement::Theorem52].pairs, tokens * (tokens - 1) / 2);
    QCOMPARE(report[Statement::Theorem54].pairs, tokens > 2 ? (tokens - 2) * (tokens - 1) / 2 : 0);
    const std::int64_t period = report.diagonalPeriod;
    QCOMPARE(report[Statement::Theorem53].pairs, period > 0 ? (tokens - period) * (tokens - period + 1) / 2 : 0);
  }
}

void TestBounds::samplesAreRowsOfTheWhole() {
  const HeadVectors head = randomHead(kinds()[0], 200, 6, 0.2);
  const BoundReport whole = checkBounds(head, {7, {}, true}), part = checkBounds(head, {7, {40}, true});
  QVERIFY(whole.exact && !part.exact);
  int rows = 0;
  for (std::size_t s = 0; s < kStatementCount; ++s) {
    for (std::size_t t = 0; t < 200; ++t) {
      if (!std::isnan(part.curves[s].bound[t])) {
        QCOMPARE(part.curves[s].bound[t], whole.curves[s].bound[t]);
        QCOMPARE(part.curves[s].measured[t], whole.curves[s].measured[t]);
        rows += s == 1 ? 1 : 0;
      }
    }
  }
  QCOMPARE(rows, 40);
  QVERIFY(std::abs(*part[Statement::Theorem51].tightnessMean - *whole[Statement::Theorem51].tightnessMean) < 0.05);
}

void TestBounds::seasonIsTheBestLag() {
  std::vector<double> q;
  std::mt19937 generator(2);
  std::normal_distribution<double> normal;
  std::vector<double> pattern(13 * 6);
  for (double& x : pattern) {
    x = normal(generator);
  }
  for (std::size_t j = 0; j < 120 * 6; ++j) {
    q.push_back(pattern[j % pattern.size()] + 0.01 * normal(generator));
  }
  QCOMPARE(bestSeason(makeHeadVectors(q, q, 6, AttentionSpec{}, std::nullopt)), std::int64_t{13});
  QCOMPARE(bestSeason(makeHeadVectors({1, 2}, {1, 2}, 1, AttentionSpec{}, std::nullopt)), std::int64_t{0});
  QCOMPARE(bestSeason(makeHeadVectors({1, 2, 1}, {1, 2, 1}, 1, AttentionSpec{}, std::nullopt)), std::int64_t{2});
}

void TestBounds::stops() {
  std::stop_source stop;
  stop.request_stop();
  const HeadVectors head = randomHead(kinds()[0], 50, 1, 0.2);
  QVERIFY_THROWS_EXCEPTION(Cancelled, checkBounds(head, {}, {stop.get_token(), {}}));
}

QTEST_GUILESS_MAIN(TestBounds)
#include "tst_bounds.moc"
