// Rotary position embedding: every scaling kind against values of transformers' own functions (models.md 2.3), and
// the properties that any rotation has.

#include <cmath>
#include <random>

#include <QtTest>

#include "core/base/error.h"
#include "core/model/rope_scaling.h"
#include "core/rope/rope.h"

using namespace headscope;

namespace {

RopeParameters parameters(RopeKind kind, int dim, double base, double factor = 1, std::int64_t original = 0,
                          std::int64_t maximum = 0) {
  RopeParameters p;
  p.kind = kind;
  p.headDim = dim;
  p.base = base;
  p.factor = factor;
  p.originalPositions = original;
  p.maxPositions = maximum;
  return p;
}

void compare(const Rope& rope, const std::vector<std::pair<std::size_t, double>>& expected) {
  for (const auto& [index, value] : expected) {
    const double own = rope.invFreq.at(index);
    QVERIFY2(std::abs(own - value) <= 1e-6 * value, concat(index, ": ", own, ", expected ", value).c_str());
  }
}

std::vector<double> randomRow(int dim, std::uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal;
  std::vector<double> row(static_cast<std::size_t>(dim));
  for (double& value : row) {
    value = normal(random);
  }
  return row;
}

double dot(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    sum += a[i] * b[i];
  }
  return sum;
}

std::vector<double> at(const Rope& rope, std::vector<double> row, std::int64_t position) {
  const std::int64_t positions[] = {position};
  rotateExactly(rope, positions, static_cast<int>(row.size()), row.data());
  return row;
}

}  // namespace

class RopeTest : public QObject {
  Q_OBJECT

 private slots:
  void goldenFrequencies();
  void lengthChangesFrequencies();
  void proportionalRotatesTheFirstShare();
  void refusesParametersWithoutFrequencies();
  void kinds_data();
  void kinds();
  void pairsAreTurned();
  void floatEqualsDouble();
};

void RopeTest::goldenFrequencies() {
  RopeParameters llama = parameters(RopeKind::Llama3, 64, 5e5, 32, 8192);
  compare(makeRope(llama, 1, ""), {{0, 1},
                                   {1, .66360128},
                                   {13, .0048394212},
                                   {14, .0032114461},
                                   {15, .001290548},
                                   {16, .00042955671},
                                   {17, 9.7082862e-5},
                                   {18, 1.9461639e-5},
                                   {31, 9.4183065e-8}});
  llama = parameters(RopeKind::Llama3, 128, 5e5, 8, 8192);
  compare(makeRope(llama, 1, ""), {{28, .0032114461},
                                   {29, .0021665706},
                                   {32, .00052484602},
                                   {34, .00017850779},
                                   {35, 9.5562122e-5},
                                   {36, 7.7846555e-5},
                                   {63, 3.0689259e-7}});
  const Rope yarn = makeRope(parameters(RopeKind::Yarn, 128, 1e6, 4, 32768), 1, "");
  compare(yarn, {{23, .006978306},
                 {24, .0053753215},
                 {30, .001064361},
                 {35, .00024625839},
                 {39, 6.4903943e-5},
                 {40, 4.4456985e-5},
                 {63, 3.1023444e-7}});
  QVERIFY(std::abs(yarn.attentionScaling - 1.13862944) < 1e-8);
  RopeParameters gptOss = parameters(RopeKind::Yarn, 64, 1.5e5, 32, 4096);
  gptOss.truncate = false;
  const Rope untruncated = makeRope(gptOss, 1, "");
  compare(untruncated, {{8, .050813273},
                        {9, .031705696},
                        {12, .0067949593},
                        {16, .00045648392},
                        {17, .00012931869},
                        {18, 3.8308812e-5},
                        {31, 3.0235114e-7}});
  QVERIFY(std::abs(untruncated.attentionScaling - 1.34657359) < 1e-8);
  RopeParameters ministral = parameters(RopeKind::Yarn, 128, 1e6, 16, 16384);
  ministral.mscale = ministral.mscaleAllDim = 1.0;
  const Rope balanced = makeRope(ministral, 1, "");
  compare(balanced, {{20, .013335215}, {30, .00069070229}, {40, 1.1114246e-5}});
  QCOMPARE(balanced.attentionScaling, 1.0);
  compare(makeRope(parameters(RopeKind::Linear, 256, 1e6, 8), 1, ""),
          {{0, .125}, {1, .11221089}, {64, .000125}, {127, 1.3924674e-7}});
}

void RopeTest::lengthChangesFrequencies() {
  const RopeParameters dynamic = parameters(RopeKind::Dynamic, 128, 1e4, 2, 0, 2048);
  compare(makeRope(dynamic, 4096, ""), {{1, .85099429}, {32, .0057233819}, {63, 3.8492733e-5}});
  compare(makeRope(dynamic, 2048, ""), {{1, .86596435}, {32, .01}, {63, .00011547819}});
  QCOMPARE(makeRope(dynamic, 7, ""), makeRope(dynamic, 2048, ""));
  RopeParameters longRope = parameters(RopeKind::LongRope, 96, 1e4, 131072.0 / 4096, 4096, 131072);
  for (int i = 0; i < 48; ++i) {
    longRope.shortFactors.push_back(1 + .01 * i);
    longRope.longFactors.push_back(1 + .5 * i);
  }
  const Rope shorter = makeRope(longRope, 4096, ""), longer = makeRope(longRope, 4097, "");
  compare(shorter, {{1, .81723183}, {24, .0080645159}, {47, 8.2416838e-5}});
  compare(longer, {{1, .55026942}, {24, .00076923077}, {47, 4.9450105e-6}});
  QVERIFY(std::abs(shorter.attentionScaling - 1.19023807) < 1e-8);
  QCOMPARE(longer.attentionScaling, shorter.attentionScaling);
  QVERIFY(dynamic.dependsOnLength() && longRope.dependsOnLength());
  QVERIFY(!parameters(RopeKind::Yarn, 64, 1e4).dependsOnLength());
}

void RopeTest::proportionalRotatesTheFirstShare() {
  RopeParameters p = parameters(RopeKind::Proportional, 24, 1e4);
  p.partial = 0.25;
  const Rope rope = makeRope(p, 1, "");
  QCOMPARE(rope.rotaryDims, 24);
  QCOMPARE(rope.invFreq.size(), std::size_t{12});
  QVERIFY(std::abs(rope.invFreq[2] - std::pow(1e4, -4.0 / 24)) < 1e-12);
  QCOMPARE(rope.invFreq[3], 0.0);
}

void RopeTest::refusesParametersWithoutFrequencies() {
  for (const RopeParameters& wrong :
       {parameters(RopeKind::Default, 64, 0), parameters(RopeKind::Default, 64, -1),
        parameters(RopeKind::Linear, 64, 1e4, 0), parameters(RopeKind::Dynamic, 64, 1e4, 2, 0, 0),
        parameters(RopeKind::Yarn, 64, 1e4, 4, 0), parameters(RopeKind::LongRope, 64, 1e4, 4, 4096),
        parameters(RopeKind::Default, 7, 1e4), parameters(RopeKind::Dynamic, 2, 1e4, 2, 0, 64)}) {
    try {
      makeRope(wrong, 8, "config.json");
      QFAIL("was accepted");
    } catch (const Error& error) {
      QVERIFY(QString(error.what()).startsWith("config.json: "));
    }
  }
  QVERIFY(!ropeKind("spiral") && ropeKind("yarn") == RopeKind::Yarn);
}

void RopeTest::kinds_data() {
  QTest::addColumn<int>("kind");
  QTest::addColumn<bool>("interleaved");
  for (int kind = 0; kind <= static_cast<int>(RopeKind::Divisors); ++kind) {
    for (const bool interleaved : {false, true}) {
      QTest::addRow("kind %d %s", kind, interleaved ? "interleaved" : "half") << kind << interleaved;
    }
  }
}

// Whatever the kind: lengths of pairs grow by the attention scaling, products depend on the distance alone, dims
// behind the rotary ones stay.
void RopeTest::kinds() {
  QFETCH(int, kind);
  QFETCH(bool, interleaved);
  RopeParameters p = parameters(static_cast<RopeKind>(kind), 32, 1e4, 4, 64, 256);
  p.partial = 0.75;
  p.alpha = 20;
  p.pairing = interleaved ? RopePairing::Interleaved : RopePairing::Half;
  p.shortFactors.assign(12, 1.5);
  p.longFactors.assign(12, 3.0);
  const Rope rope = makeRope(p, 100, "");
  const std::vector<double> q = randomRow(32, 1), k = randomRow(32, 2);
  const std::vector<double> turned = at(rope, q, 37);
  for (int m = 0; m < rope.channels(); ++m) {
    const auto length = [&](const std::vector<double>& row) {
      return std::hypot(row[static_cast<std::size_t>(rope.first(m))], row[static_cast<std::size_t>(rope.second(m))]);
    };
    QVERIFY(std::abs(length(turned) - rope.attentionScaling * length(q)) < 1e-12);
  }
  for (std::size_t d = static_cast<std::size_t>(rope.rotaryDims); d < 32; ++d) {
    QCOMPARE(turned[d], q[d]);
  }
  const double near = dot(at(rope, q, 12), at(rope, k, 5));
  for (const std::int64_t shift : {1, 50, 1000}) {
    QVERIFY(std::abs(dot(at(rope, q, 12 + shift), at(rope, k, 5 + shift)) - near) < 1e-9);
  }
  const std::vector<double> still = at(rope, q, 0);
  for (std::size_t d = 0; d < static_cast<std::size_t>(rope.rotaryDims); ++d) {
    QVERIFY(std::abs(still[d] - rope.attentionScaling * q[d]) < 1e-12);
  }
}

void RopeTest::pairsAreTurned() {
  Rope rope;
  rope.rotaryDims = 4;
  rope.invFreq = {M_PI / 2, 0};
  const std::int64_t positions[] = {1};
  float half[] = {1, 2, 3, 4, 5};
  rotate(rope, positions, 5, half);
  const float expectedHalf[] = {-3, 2, 1, 4, 5};
  rope.pairing = RopePairing::Interleaved;
  float neighbours[] = {1, 2, 3, 4, 5};
  rotate(rope, positions, 5, neighbours);
  const float expectedNeighbours[] = {-2, 1, 3, 4, 5};
  for (int d = 0; d < 5; ++d) {
    QVERIFY(std::abs(half[d] - expectedHalf[d]) < 1e-6F);
    QVERIFY(std::abs(neighbours[d] - expectedNeighbours[d]) < 1e-6F);
  }
}

void RopeTest::floatEqualsDouble() {
  const Rope rope = makeRope(parameters(RopeKind::Default, 64, 1e4), 1, "");
  std::vector<std::int64_t> positions;
  std::vector<float> narrow;
  std::vector<double> wide;
  for (std::int64_t t = 0; t < 50; ++t) {
    positions.push_back(t * 7);
    for (const double value : randomRow(64, static_cast<std::uint32_t>(t))) {
      narrow.push_back(static_cast<float>(value));
      wide.push_back(static_cast<double>(narrow.back()));
    }
  }
  rotate(rope, positions, 64, narrow.data());
  rotateExactly(rope, positions, 64, wide.data());
  for (std::size_t i = 0; i < narrow.size(); ++i) {
    QVERIFY(std::abs(static_cast<double>(narrow[i]) - wide[i]) < 1e-4);
  }
}

QTEST_GUILESS_MAIN(RopeTest)
#include "tst_rope.moc"
