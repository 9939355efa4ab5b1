// The room as a whole: kernels, Fourier transform, report, prune orders, block influence.

#include <QtTest>
#include <atomic>
#include <cmath>
#include <complex>
#include <mutex>
#include <random>
#include <set>

#include "core/analysis/block_influence.h"
#include "core/analysis/fourier.h"
#include "core/analysis/packed_rows.h"
#include "core/base/parallel.h"
#include "core/analysis/prune_order.h"
#include "core/analysis/report.h"
#include "core/analysis/row_kernels.h"
#include "core/files/json.h"
#include "tests/support/synthetic_capture.h"

using namespace headscope;
using namespace headscope::test;

namespace {

std::vector<double> normals(std::size_t count, unsigned seed, double size = 1) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal(0, size);
  std::vector<double> values(count);
  for (double& value : values) {
    value = normal(random);
  }
  return values;
}

bool near(double a, double b, double tolerance = 1e-12) {
  return std::abs(a - b) <= tolerance * std::max({1.0, std::abs(a), std::abs(b)});
}

bool same(const HeadScores& a, const HeadScores& b) {
  for (std::size_t s = 0; s < kScoreCount; ++s) {
    if (a.values[s] != b.values[s] && !(std::isnan(a.values[s]) && std::isnan(b.values[s]))) {
      return false;
    }
  }
  return true;
}

SyntheticCapture threeLayers() {
  SyntheticCapture options;
  options.layers = 3;
  options.heads = 4;
  options.kvHeads = 2;
  options.tokens = 80;
  return options;
}

std::vector<double> rawScores(const QString& name) {
  return readJson((QStringLiteral(HEADSCOPE_SHARED "/data/tappa-scores/") + name).toStdString())["scores"];
}

}  // namespace

class TestAnalysis : public QObject {
  Q_OBJECT

 private slots:
  void kernelsAgree_data();
  void kernelsAgree();
  void productsOfAllSizes();
  void fourier();
  void jobs();
  void reportIsTheSameOnAnyThreads();
  void reportComesLayerByLayer();
  void reportStops();
  void estimates();
  void layersOfTheReport();
  void detailComesPartByPart();
  void seriesByName();
  void blockInfluence();
  void pruneOrders();
  void publishedOrders();
  void unorderableScores();
};

void TestAnalysis::kernelsAgree_data() {
  QTest::addColumn<int>("kernel");
  int count = 0;
  const RowKernels* const* kernels = allRowKernels(count);
  for (int j = 0; j < count; ++j) {
    QTest::newRow(kernels[j]->name) << j;
  }
}

void TestAnalysis::kernelsAgree() {
  QFETCH(int, kernel);
  int count = 0;
  const RowKernels& kernels = *allRowKernels(count)[kernel];
  for (const std::int64_t n : {0, 1, 2, 3, 7, 8, 9, 16, 31, 64, 101}) {
    const auto size = static_cast<std::size_t>(n);
    const std::vector<double> a = normals(size, 1, 5), b = normals(size, 2, 5), c = normals(size, 3, 4);
    std::vector<double> p(size + 1, -7), added = b;
    const RowSums sums = kernels.exponentials(a.data(), n, 1.5, p.data());
    RowSums expected;
    double largest = -INFINITY, absolute = 0, total = 0, dot = 0, masked = 0, overlap = 0;
    RowTightness tight;
    for (std::size_t i = 0; i < size; ++i) {
      const double e = std::exp(a[i] - 1.5);
      QVERIFY(std::abs(p[i] - e) <= 4e-16 * e);
      expected.mass += e;
      expected.logit += e * a[i];
      expected.position += e * static_cast<double>(i);
      largest = std::max(largest, a[i]);
      absolute = std::max(absolute, std::abs(a[i]));
      total += a[i];
      dot += a[i] * b[i];
      masked += a[i] * std::max(b[i], c[i]);
      overlap += std::min(a[i], b[i]);
      const double measured = std::abs(a[i] - b[i]);
      tight.measuredMax = std::max(tight.measuredMax, measured);
      tight.boundMax = std::max(tight.boundMax, c[i]);
      tight.excessMax = std::max(tight.excessMax, measured - c[i]);
      if (c[i] > 0) {
        ++tight.pairs;
        tight.ratioSum += measured / c[i];
        tight.ratioMax = std::max(tight.ratioMax, measured / c[i]);
      }
    }
    QCOMPARE(p[size], -7.0);  // nothing written past the end
    QVERIFY(near(sums.mass, expected.mass) && near(sums.logit, expected.logit) &&
            near(sums.position, expected.position));
    QCOMPARE(kernels.maximum(a.data(), n), largest);
    QCOMPARE(kernels.absoluteMaximum(a.data(), n), absolute);
    QVERIFY(near(kernels.sum(a.data(), n), total) && near(kernels.dot(a.data(), b.data(), n), dot));
    double distance = 0;
    for (std::size_t i = 0; i < size; ++i) {
      distance += (a[i] - b[i]) * (a[i] - b[i]);
    }
    QVERIFY(near(kernels.squaredDistance(a.data(), b.data(), n), distance));
    QVERIFY(near(kernels.maskedSum(a.data(), b.data(), c.data(), n), masked));
    QVERIFY(near(kernels.overlap(a.data(), b.data(), n), overlap));
    kernels.add(a.data(), n, added.data());
    for (std::size_t i = 0; i < size; ++i) {
      QCOMPARE(added[i], b[i] + a[i]);
    }
    std::vector<double> scaled = b;
    kernels.addScaled(a.data(), 2.5, n, scaled.data());
    for (std::size_t i = 0; i < size; ++i) {
      QVERIFY(near(scaled[i], b[i] + 2.5 * a[i]));
    }
    std::vector<double> lengths(size), crossRe = a, crossIm = b, power = c;
    kernels.lengths(a.data(), b.data(), n, lengths.data());
    kernels.crossPower(a.data(), b.data(), c.data(), p.data(), 0.7, n, crossRe.data(), crossIm.data(), power.data());
    for (std::size_t i = 0; i < size; ++i) {
      QVERIFY(near(lengths[i], std::hypot(a[i], b[i])));
      QVERIFY(near(crossRe[i], a[i] + a[i] * c[i] + b[i] * p[i], 1e-11));
      QVERIFY(near(crossIm[i], b[i] + b[i] * c[i] - a[i] * p[i], 1e-11));
      QVERIFY(near(power[i], c[i] + 0.7 * (a[i] * a[i] + b[i] * b[i])));
    }
    const RowTightness got = kernels.tightness(a.data(), b.data(), c.data(), n);
    QCOMPARE(got.pairs, tight.pairs);
    QCOMPARE(got.measuredMax, tight.measuredMax);
    QCOMPARE(got.boundMax, tight.boundMax);
    QCOMPARE(got.excessMax, tight.excessMax);
    QVERIFY(near(got.ratioSum, tight.ratioSum) && near(got.ratioMax, tight.ratioMax));
  }
  const std::vector<double> extreme{-1e6, -709.5, -700, 0, 700};
  std::vector<double> p(5);
  kernels.exponentials(extreme.data(), 5, 0, p.data());
  QCOMPARE(p[0], 0.0);
  QCOMPARE(p[1], 0.0);
  QVERIFY(near(p[2] / std::exp(-700.0), 1) && p[3] == 1.0 && near(p[4] / std::exp(700.0), 1));
}

void TestAnalysis::productsOfAllSizes() {
  int count = 0;
  const RowKernels* const* kernels = allRowKernels(count);
  for (int which = 0; which < count; ++which) {
    for (const std::int64_t width : {1, 5, 33}) {
      for (const std::int64_t rows : {1, 3, 8, 24}) {
        const std::int64_t keys = 45, stride = PackedRows::paddedLength(0, keys);
        const std::vector<double> left = normals(static_cast<std::size_t>(rows * width), 4),
                                  right = normals(static_cast<std::size_t>(keys * width), 5);
        std::vector<double> panels(static_cast<std::size_t>(3 * kPanel * width), 0.0);
        for (std::int64_t i = 0; i < keys; ++i) {
          for (std::int64_t d = 0; d < width; ++d) {
            panels[static_cast<std::size_t>((i / kPanel * width + d) * kPanel + i % kPanel)] =
                right[static_cast<std::size_t>(i * width + d)];
          }
        }
        std::vector<double> out(static_cast<std::size_t>(rows * stride), NAN);
        kernels[which]->product(left.data(), rows, width, panels.data(), 0, 3, 0.5, out.data(), stride);
        for (std::int64_t r = 0; r < rows; ++r) {
          for (std::int64_t i = 0; i < keys; ++i) {
            double sum = 0;
            for (std::int64_t d = 0; d < width; ++d) {
              sum += left[static_cast<std::size_t>(r * width + d)] * right[static_cast<std::size_t>(i * width + d)];
            }
            QVERIFY(near(out[static_cast<std::size_t>(r * stride + i)], sum / 2));
          }
        }
      }
    }
  }
}

void TestAnalysis::fourier() {
  for (const std::int64_t length : {1, 2, 3, 4, 8, 20, 32, 64, 128, 512}) {
    Fourier transform(length);
    const auto n = static_cast<std::size_t>(transform.length());
    QVERIFY(transform.length() >= length && transform.length() < 2 * std::max<std::int64_t>(length, 2));
    const Spectrum data{normals(n, 6), normals(n, 7)};
    Spectrum spectrum = data;
    transform.forward(spectrum);
    for (std::size_t f = 0; f < n; ++f) {
      std::complex<double> sum;
      for (std::size_t t = 0; t < n; ++t) {
        sum += std::complex<double>(data.re[t], data.im[t]) *
               std::polar(1.0, -2 * M_PI * static_cast<double>(f * t % n) / static_cast<double>(n));
      }
      QVERIFY(std::abs(sum - std::complex<double>(spectrum.re[f], spectrum.im[f])) < 1e-12 * static_cast<double>(n));
    }
    transform.backward(spectrum);
    for (std::size_t t = 0; t < n; ++t) {
      QVERIFY(near(spectrum.re[t] / static_cast<double>(n), data.re[t], 1e-13));
      QVERIFY(near(spectrum.im[t] / static_cast<double>(n), data.im[t], 1e-13));
    }
  }
}

void TestAnalysis::jobs() {
  std::vector<std::atomic<int>> done(100);
  runJobs(100, 3, {}, [&](std::int64_t index, const JobControl&) { ++done[static_cast<std::size_t>(index)]; });
  for (const auto& count : done) {
    QCOMPARE(count.load(), 1);
  }
  runJobs(0, 2, {}, [](std::int64_t, const JobControl&) { QFAIL("there is no job"); });
  std::atomic<int> started = 0;
  QVERIFY_THROWS_EXCEPTION(Error, runJobs(1000, 2, {}, [&](std::int64_t index, const JobControl&) {
                             ++started;
                             if (index == 5) {
                               throw Error("here", "it broke");
                             }
                             QTest::qSleep(1);
                           }));
  QVERIFY(started < 1000);
}

void TestAnalysis::reportIsTheSameOnAnyThreads() {
  const auto capture = makeCapture(threeLayers());
  AnalysisOptions options;
  options.measures = true;
  options.threads = 1;
  const Report one = analyzeCapture(*capture, options);
  options.threads = 4;
  const Report four = analyzeCapture(*capture, options);
  QVERIFY(one.exact && one.tokens == 80 && one.layers.size() == 3);
  for (std::size_t l = 0; l < 3; ++l) {
    QCOMPARE(one.layers[l].layer, static_cast<int>(l));
    QCOMPARE(one.layers[l].heads.size(), std::size_t{4});
    QVERIFY(same(one.layers[l].means, four.layers[l].means));
    for (std::size_t h = 0; h < 4; ++h) {
      const HeadReport& head = one.layers[l].heads[h];
      QCOMPARE(head.head, static_cast<int>(h));
      QCOMPARE(head.kvHead, static_cast<int>(h / 2));
      QVERIFY(same(head.scores, four.layers[l].heads[h].scores));
      QCOMPARE(*head.measures, *four.layers[l].heads[h].measures);
      QCOMPARE(head.cases.scores, four.layers[l].heads[h].cases.scores);
      QVERIFY(near((*head.measures)[0],
                   meanPairwise(queriesBeforeRope(makeHeadVectors(*capture, static_cast<int>(l), static_cast<int>(h))),
                                Measure::Cosine)));
    }
  }
}

void TestAnalysis::reportComesLayerByLayer() {
  const auto capture = makeCapture(threeLayers());
  AnalysisOptions options;
  std::set<int> layers;
  options.onLayer = [&](const LayerReport& layer) {
    QVERIFY(layers.insert(layer.layer).second);
    QCOMPARE(layer.heads.size(), std::size_t{4});
    QVERIFY(!std::isnan(layer.means[Score::Entropy]));
    double mean = 0;
    for (const HeadReport& head : layer.heads) {
      mean += head.scores[Score::QSimilarityKv] / 4;
    }
    QVERIFY(near(layer.means[Score::QSimilarityKv], mean));
  };
  std::int64_t last = -1;
  const JobControl control{{}, [&](const Progress& progress) {
                             QVERIFY(progress.done > last && progress.total == 12);
                             last = progress.done;
                           }};
  analyzeCapture(*capture, options, control);
  QCOMPARE(layers, (std::set<int>{0, 1, 2}));
  QCOMPARE(last, std::int64_t{12});
}

void TestAnalysis::reportStops() {
  const auto capture = makeCapture(threeLayers());
  std::stop_source stop;
  const JobControl control{stop.get_token(), [&](const Progress& progress) {
                             if (progress.done == 3) {
                               stop.request_stop();
                             }
                           }};
  QVERIFY_THROWS_EXCEPTION(Cancelled, analyzeCapture(*capture, {}, control));
}

void TestAnalysis::estimates() {
  SyntheticCapture options;
  options.tokens = 300;
  const auto capture = makeCapture(options);
  AnalysisOptions estimate = estimateOptions();
  estimate.lagTokens = 100;
  const Report exact = analyzeCapture(*capture), rough = analyzeCapture(*capture, estimate);
  QVERIFY(exact.exact && !rough.exact);
  const HeadReport &a = exact.layers[0].heads[1], &b = rough.layers[0].heads[1];
  QCOMPARE(b.scores[Score::QSimilarityPrune], a.scores[Score::QSimilarityPrune]);
  QCOMPARE(*b.dominance, *a.dominance);
  QVERIFY(b.scores[Score::Entropy] != a.scores[Score::Entropy]);
  QVERIFY(std::abs(b.scores[Score::Entropy] - a.scores[Score::Entropy]) < 0.2);
  QVERIFY((*b.bounds)[Statement::Theorem51].pairs < (*a.bounds)[Statement::Theorem51].pairs / 4);
  QVERIFY(analyzeCapture(*makeCapture(threeLayers()), estimateOptions()).tokens == 80);
  // Curves over lags from the end of a text are those of the end alone, at its positions.
  const HeadVectors head = makeHeadVectors(*capture, 0, 1);
  const auto tail = [&head](const std::vector<double>& rows) {
    return std::vector<double>(rows.end() - 100 * head.dim, rows.end());
  };
  const HeadVectors end =
      makeHeadVectors(tail(head.q), tail(head.keys->k), head.dim, head.frame->spec, head.frame->rope,
                      {head.frame->positions.end() - 100, head.frame->positions.end()});
  const LagCurves whole = lagCurves(end), part = lagCurves(head, nullptr, {}, 100);
  const KeySpectra spectra = keySpectra(head, 100);
  const LagCurves shared = lagCurves(head, &spectra, {}, 100);
  QCOMPARE(part.logitByDistance.size(), std::size_t{100});
  for (std::size_t lag = 0; lag < 100; ++lag) {
    QVERIFY(near(whole.logitByDistance[lag], part.logitByDistance[lag], 1e-11));
    QVERIFY(near(whole.queryCorrelation[lag], part.queryCorrelation[lag], 1e-11));
    QCOMPARE(shared.logitByDistance[lag], part.logitByDistance[lag]);
  }
  QCOMPARE(bestSeason(head, 100), bestSeason(end));
}

void TestAnalysis::layersOfTheReport() {
  const auto capture = makeCapture(threeLayers());
  AnalysisOptions options;
  options.layers = {2, 0};
  options.bounds = options.cases = false;
  Report report = analyzeCapture(*capture, options);
  QCOMPARE(report.layers.size(), std::size_t{2});
  QCOMPARE(report.layers[0].layer, 2);
  QVERIFY(!report.layers[0].heads[0].bounds);
  setBlockInfluence(report, {0.1, 0.2, 0.9}, {0.1, 0.2, NAN});
  QCOMPARE(*report.layers[0].blockInfluence, 0.9);
  QVERIFY(!report.layers[0].blockInfluenceResidual);
  QCOMPARE(*report.layers[1].blockInfluenceResidual, 0.1);
  options.layers = {3};
  QVERIFY_THROWS_EXCEPTION(Error, analyzeCapture(*capture, options));
}

void TestAnalysis::detailComesPartByPart() {
  const auto capture = makeCapture(threeLayers());
  const Report report = analyzeCapture(*capture);
  DetailOptions options;
  std::vector<DetailPart> parts;
  options.onPart = [&](DetailPart part, const HeadDetail& detail) {
    parts.push_back(part);
    QVERIFY(!detail.lens.measuredByDistance.empty());
  };
  const HeadDetail detail = analyzeHead(*capture, 1, 3, options);
  QCOMPARE(parts, (std::vector<DetailPart>{DetailPart::Lens, DetailPart::Similarity, DetailPart::Attention,
                                           DetailPart::Cases, DetailPart::Bounds}));
  const HeadReport& head = report.layers[1].heads[3];
  QVERIFY(same(detail.scores, head.scores));
  QCOMPARE(detail.cases.scores, head.cases.scores);
  QCOMPARE(detail.bounds[Statement::Theorem51].pairs, (*head.bounds)[Statement::Theorem51].pairs);
  QCOMPARE(detail.qSimilarity.size(), std::size_t{79});
  QVERIFY(near(detail.qSimilarityKv.back(), detail.scores[Score::QSimilarityKv]));
  QCOMPARE(detail.bounds.curves[1].bound.size(), std::size_t{80});
  QCOMPARE(detail.kvHead, 1);
  QVERIFY_THROWS_EXCEPTION(Error, analyzeHead(*capture, 1, 4));
  QVERIFY_THROWS_EXCEPTION(Error, analyzeHead(*capture, 9, 0));
}

void TestAnalysis::seriesByName() {
  const HeadVectors head = makeHeadVectors(*makeCapture(threeLayers()), 0, 0);
  HeadScores scores;
  similarityScores(head, scores);
  for (const Score score :
       {Score::QSimilarityConsecutive, Score::QSimilarityConsecutiveRope, Score::KSimilarityConsecutive}) {
    const auto found = seriesFromName(definition(score).name);
    QVERIFY(found);
    const std::vector<double> curve = series(head, *found);
    QCOMPARE(curve.size(), std::size_t{79});
    double mean = 0;
    for (const double value : curve) {
      mean += value / 79;
    }
    QVERIFY(near(mean, scores[score]));
  }
  QVERIFY(!seriesFromName("entropy"));
}

void TestAnalysis::blockInfluence() {
  BlockInfluence influence(2);
  const std::vector<float> x{1, 0, 0, 2}, same{3, 0, 0, 4}, turned{0, 1, 0, 2}, back{-1, 0, 0, 1};
  influence.add(0, x.data(), same.data(), 2, 2);
  influence.add(1, x.data(), turned.data(), 1, 2);
  influence.add(1, x.data() + 2, turned.data() + 2, 1, 2);
  influence.addPublishedLast(x.data(), back.data(), 2, 2);
  QCOMPARE(influence.residual(), (std::vector<double>{0, 0.5}));
  QCOMPARE(influence.published(), (std::vector<double>{0, 1}));
  QCOMPARE(influence.residualAngular(), (std::vector<double>{0, 0.25}));
  QCOMPARE(influence.publishedAngular(), (std::vector<double>{0, 0.5}));
  QVERIFY(std::isnan(BlockInfluence(1).residual()[0]));
  // As a run hands rows out: layer by layer in blocks, the last layer's output, then the same after the final norm.
  BlockInfluence observed(2);
  observed.observe(0, 0, {x.data(), 2}, 2);
  observed.observe(0, 1, {x.data() + 2, 2}, 2);
  observed.observe(1, 0, same, 2);
  observed.observe(2, 0, turned, 2);
  observed.observe(3, 0, back, 2);
  BlockInfluence direct(2);
  direct.add(0, x.data(), same.data(), 2, 2);
  direct.add(1, same.data(), turned.data(), 2, 2);
  direct.addPublishedLast(same.data(), back.data(), 2, 2);
  QCOMPARE(observed.residual(), direct.residual());
  QCOMPARE(observed.published(), direct.published());
  // A cosine that float arithmetic puts above 1 must not become NaN.
  const std::vector<float> third(7, 1.0f / 3);
  BlockInfluence equal(1);
  equal.add(0, third.data(), third.data(), 1, 7);
  QVERIFY(equal.residualAngular()[0] >= 0 && equal.residualAngular()[0] < 1e-7);
}

void TestAnalysis::pruneOrders() {
  const std::vector<double> bi{0.5, 0.1, 0.3, 0.1}, similarity{0.2, 0.9, 0.9, 0.4};
  QCOMPARE(shortGptOrder(bi), (std::vector<int>{1, 3, 2, 0}));
  QCOMPARE(mostSimilarFirst(similarity), (std::vector<int>{1, 2, 3, 0}));
  const PruneScores scores = tappaPruneScores(bi, similarity, 0.5);
  QCOMPARE(scores.biNorm, (std::vector<double>{1, 0, (0.3 - 0.1) / (0.5 - 0.1), 0}));
  QCOMPARE(scores.order, (std::vector<int>{1, 3, 2, 0}));
  QCOMPARE(minMaxNorm({2, 2, 2}), (std::vector<double>{0, 0, 0}));
  QCOMPARE(tappaPruneScores({1, 1}, {0.3, 0.8}, 1).order, (std::vector<int>{1, 0}));
}

void TestAnalysis::publishedOrders() {
  const QString folder = QStringLiteral(HEADSCOPE_SHARED "/tappa/bi/orders/");
  if (!QFile::exists(folder + "orders.json") || !QFile::exists(HEADSCOPE_SHARED "/data/tappa-scores")) {
    QSKIP("../shared is not here");
  }
  const Json orders = readJson((folder + "orders.json").toStdString())["orders"];
  int compared = 0;
  double worst = 0;
  for (const auto& [model, of] : orders.items()) {
    const QString name = QString::fromStdString(model);
    const Json shortGpt = readJson((folder + name + "_shortgpt.json").toStdString());
    const std::vector<double> bi = shortGpt["bi"];
    QCOMPARE(shortGptOrder(bi), of["shortgpt"].get<std::vector<int>>());
    for (const char* beta : {"0.1", "0.2", "0.3"}) {
      const Json file = readJson((folder + name + "_tappa_beta" + beta + ".json").toStdString());
      const PruneScores scores = tappaPruneScores(file["bi"], file["q_similarity"], file["beta"]);
      QCOMPARE(file["formula"].get<std::string>(), std::string(kTappaFormula));
      QCOMPARE(scores.order, file["prune_order"].get<std::vector<int>>());
      QCOMPARE(scores.order, of[std::string("tappa_beta") + beta].get<std::vector<int>>());
      QCOMPARE(mostSimilarFirst(file["q_similarity"]), of["q_only_most_similar_first"].get<std::vector<int>>());
      for (std::size_t l = 0; l < scores.score.size(); ++l) {
        worst = std::max({worst, std::abs(scores.score[l] - file["tappa_score"][l].get<double>()),
                          std::abs(scores.biNorm[l] - file["bi_norm"][l].get<double>()),
                          std::abs(scores.qSimilarityNorm[l] - file["q_similarity_norm"][l].get<double>())});
      }
      ++compared;
    }
  }
  for (const QString& model : {QString("llama-2-7b"), QString("llama-3.1-8b"), QString("qwen-2.5-7b")}) {
    const std::vector<double> bi = rawScores(model + "_bi.json"), similarity = rawScores(model + "_q_similarity.json");
    const Json& of = orders[model.toStdString()];
    QCOMPARE(shortGptOrder(bi), of["shortgpt"].get<std::vector<int>>());
    QCOMPARE(tappaPruneScores(bi, similarity, 0.2).order, of["tappa_beta0.2"].get<std::vector<int>>());
    QCOMPARE(ascendingOrder(similarity), of["q_raw_file_order_ascending"].get<std::vector<int>>());
  }
  qInfo("%d order files, largest error of a score %.2g", compared, worst);
  QVERIFY(compared == 12 && worst < 1e-12);
}

void TestAnalysis::unorderableScores() {
  QVERIFY_THROWS_EXCEPTION(Error, shortGptOrder({0.1, NAN}));
  QVERIFY_THROWS_EXCEPTION(Error, tappaPruneScores({0.1, INFINITY}, {0, 1}, 0.1));
  QVERIFY_THROWS_EXCEPTION(Error, tappaPruneScores({0.1}, {0, 1}, 0.1));
  QVERIFY_THROWS_EXCEPTION(Error, tappaPruneScores({}, {}, 0.1));
}

QTEST_GUILESS_MAIN(TestAnalysis)
#include "tst_analysis.moc"
