#include <QtTest>

#include <cmath>
#include <limits>

#include "core/base/error.h"
#include "core/capture/prepared_rows.h"
#include "core/maps/attention_map.h"
#include "core/maps/kernels.h"
#include "core/maps/log_sum_exp.h"
#include "core/base/parallel.h"
#include "core/maps/visible_pairs.h"
#include "tests/support/golden_capture.h"
#include "tests/support/synthetic_capture.h"

using namespace headscope;
using namespace headscope::test;

namespace {

constexpr std::int64_t kTokens = 150;  // more than two panels and blocks of any kernel, a multiple of neither

// A dense map pooled by the letter of attention_map.h.
PooledMaps poolDense(const DenseHead& dense, const MapRange& range, std::int64_t height, std::int64_t width) {
  PooledMaps maps{height, width, {}, {}, {}};
  for (std::int64_t y = 0; y < height; ++y) {
    for (std::int64_t x = 0; x < width; ++x) {
      const std::int64_t rowBegin = range.rowBegin + y * range.rows() / height;
      const std::int64_t rowEnd = range.rowBegin + (y + 1) * range.rows() / height;
      const std::int64_t colBegin = range.colBegin + x * range.cols() / width;
      const std::int64_t colEnd = range.colBegin + (x + 1) * range.cols() / width;
      double max = 0, sum = 0;
      int pairs = 0;
      for (std::int64_t t = rowBegin; t < rowEnd; ++t) {
        for (std::int64_t i = colBegin; i < colEnd; ++i) {
          if (std::isfinite(dense.logit(t, i))) {
            max = std::max(max, dense.probability(t, i));
            sum += dense.probability(t, i);
            ++pairs;
          }
        }
      }
      maps.max.push_back(static_cast<float>(max));
      maps.mean.push_back(pairs > 0 ? static_cast<float>(sum / pairs) : 0.0f);
      maps.mass.push_back(rowEnd > rowBegin ? static_cast<float>(sum / static_cast<double>(rowEnd - rowBegin)) : 0.0f);
    }
  }
  return maps;
}

double worst(const std::vector<float>& a, const std::vector<float>& b) {
  double difference = a.size() == b.size() ? 0 : HUGE_VAL;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    const double d = std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
    difference = std::isnan(d) ? HUGE_VAL : std::max(difference, d);
  }
  return difference;
}

const std::vector<std::pair<std::string, SyntheticCapture>>& kinds() {
  static const auto all = capturesOfEveryKind(kTokens);
  return all;
}

std::vector<std::string> kernelNames() {
  std::vector<std::string> names;
  for (const Kernels* set : availableKernels()) {
    names.emplace_back(set->name);
  }
  return names;
}

}  // namespace

class TstMaps : public QObject {
  Q_OBJECT

 private Q_SLOTS:
  void cleanup() { useKernels(""); }
  void mapsEqualTheDenseSoftmax_data() { kindsAndKernels(); }
  void mapsEqualTheDenseSoftmax();
  void poolingIsAsDefined_data() { kindsAndKernels(); }
  void poolingIsAsDefined();
  void absentLogSumExpIsComputed_data() { kindsAndKernels(); }
  void absentLogSumExpIsComputed();
  void massRowsSumToOneAtEverySize();
  void previewsAreBoundsAndUnbiased();
  void largeLogitsStayExact();
  void interventionsEqualTheDenseSoftmax_data();
  void interventionsEqualTheDenseSoftmax();
  void impossibleRequestsAreErrors();
  void goldenProbabilities_data();
  void goldenProbabilities();
  void kernelSetsAgree();
  void powersAreAccurate();
  void visiblePairsAreCounted();
  void anyNumberOfThreadsGivesTheSame();
  void cancelStopsAMap();

 private:
  static void kindsAndKernels() {
    QTest::addColumn<int>("kind");
    QTest::addColumn<QString>("kernelSet");
    for (const std::string& set : kernelNames()) {
      for (std::size_t i = 0; i < kinds().size(); ++i) {
        QTest::newRow((kinds()[i].first + ", " + set).c_str()) << static_cast<int>(i) << QString::fromStdString(set);
      }
    }
  }
  static std::shared_ptr<const Capture> fetchCapture() {
    QFETCH(int, kind);
    QFETCH(QString, kernelSet);
    useKernels(kernelSet.toStdString());
    return makeCapture(kinds()[static_cast<std::size_t>(kind)].second);
  }
};

void TstMaps::mapsEqualTheDenseSoftmax() {
  const auto capture = fetchCapture();
  for (int head = 0; head < capture->layer(0).heads; ++head) {
    const DenseHead dense = denseHead(*capture, 0, head);
    const auto view = makeHeadView(*capture, 0, head);
    for (const MapRange& range : {MapRange{0, kTokens, 0, kTokens}, MapRange{17, 131, 9, 80}, MapRange{90, 91, 3, 150},
                                  MapRange{0, 20, 60, 90}, MapRange{5, 5, 0, 10}}) {
      const std::vector<float> p = probabilities(*view, range);
      const std::vector<float> a = logits(*view, range);
      QCOMPARE(p.size(), static_cast<std::size_t>(range.rows() * range.cols()));
      std::size_t cell = 0;
      for (std::int64_t t = range.rowBegin; t < range.rowEnd; ++t) {
        for (std::int64_t i = range.colBegin; i < range.colEnd; ++i, ++cell) {
          QVERIFY(std::abs(static_cast<double>(p[cell]) - dense.probability(t, i)) <= 1e-5);
          QVERIFY(std::abs(static_cast<double>(view->probability(t, i)) - dense.probability(t, i)) <= 1e-5);
          if (std::isinf(dense.logit(t, i))) {
            QVERIFY(p[cell] == 0.0f && a[cell] == -std::numeric_limits<float>::infinity());
          } else {
            QVERIFY(std::abs(static_cast<double>(a[cell]) - dense.logit(t, i)) <= 2e-5);
            QVERIFY(std::abs(static_cast<double>(view->logit(t, i)) - dense.logit(t, i)) <= 2e-5);
          }
        }
      }
    }
    if (!view->sink) {
      const std::vector<float> p = probabilities(*view, {0, kTokens, 0, kTokens});
      for (std::int64_t t = 0; t < kTokens; ++t) {
        QVERIFY(std::abs(std::accumulate(p.begin() + t * kTokens, p.begin() + (t + 1) * kTokens, 0.0) - 1) <= 1e-5);
      }
    }
  }
}

void TstMaps::poolingIsAsDefined() {
  const auto capture = fetchCapture();
  const DenseHead dense = denseHead(*capture, 0, 1);
  const auto view = makeHeadView(*capture, 0, 1);
  const MapRange all{0, kTokens, 0, kTokens};
  const MapRange part{23, 140, 31, 122};
  const std::vector<std::tuple<MapRange, int, int>> requests{{all, 1, 1},    {all, 7, 5},   {all, 150, 150},
                                                             {all, 3, 150},  {all, 150, 4}, {all, 64, 32},
                                                             {part, 10, 13}, {part, 1, 9}};
  for (const auto& [range, height, width] : requests) {
    const PooledMaps expected = poolDense(dense, range, height, width);
    const PooledMaps got = pooledAll(*view, range, height, width);
    QVERIFY2(worst(got.max, expected.max) <= 1e-5, qPrintable(QString::number(worst(got.max, expected.max))));
    QVERIFY(worst(got.mean, expected.mean) <= 1e-5);
    QVERIFY(worst(got.mass, expected.mass) <= 1e-5);
    QVERIFY(worst(pooled(*view, range, height, width, Pool::Max), expected.max) <= 1e-5);
    QVERIFY(pooled(*view, range, height, width, Pool::Mean) == got.mean);
    QVERIFY(pooled(*view, range, height, width, Pool::Mass) == got.mass);
  }
}

void TstMaps::absentLogSumExpIsComputed() {
  const auto capture = fetchCapture();
  const DenseHead dense = denseHead(*capture, 0, 0);
  const auto view = makeHeadView(*capture, 0, 0);
  const std::vector<float> lse = logSumExp(view->rule(), view->q.data(), view->k.data(), view->tokens);
  for (std::int64_t t = 0; t < kTokens; ++t) {
    QVERIFY(std::abs(static_cast<double>(lse[static_cast<std::size_t>(t)]) - dense.lse[static_cast<std::size_t>(t)]) <=
            1e-5 * std::max(1.0, std::abs(dense.lse[static_cast<std::size_t>(t)])));
  }
}

void TstMaps::massRowsSumToOneAtEverySize() {
  SyntheticCapture options;
  options.tokens = 1000;
  const auto capture = makeCapture(options);
  const auto view = makeHeadView(*capture, 0, 0);
  for (const int size : {1000, 333, 64, 1}) {
    const std::vector<float> mass = pooled(*view, {0, 1000, 0, 1000}, size, size, Pool::Mass);
    for (int y = 0; y < size; ++y) {
      const double sum = std::accumulate(mass.begin() + y * size, mass.begin() + (y + 1) * size, 0.0);
      QVERIFY2(std::abs(sum - 1) <= 1e-5, qPrintable(QString::number(sum, 'g', 9)));
    }
  }
}

void TstMaps::previewsAreBoundsAndUnbiased() {
  SyntheticCapture options;
  options.tokens = 1500;
  const auto capture = makeCapture(options);
  const auto view = makeHeadView(*capture, 0, 0);
  const MapRange all{0, 1500, 0, 1500};
  const PooledMaps exact = pooledAll(*view, all, 30, 30);
  const PooledMaps preview = pooledPreview(*view, all, 30, 30, 2);
  double bias = 0, spread = 0;
  for (std::size_t i = 0; i < exact.max.size(); ++i) {
    QVERIFY(preview.max[i] <= exact.max[i] * 1.00001f);
    const double difference = static_cast<double>(preview.mass[i] - exact.mass[i]);
    bias += difference;
    spread += difference * difference;
  }
  QVERIFY(spread > 0);
  QVERIFY(std::abs(bias) <= 4 * std::sqrt(spread));  // four standard errors of a sum of independent differences
  const PooledMaps every = pooledPreview(*view, all, 30, 30, 50);  // as many rows as a cell has
  QVERIFY(worst(every.max, exact.max) <= 1e-6 && worst(every.mass, exact.mass) <= 1e-6 &&
          worst(every.mean, exact.mean) <= 1e-6);
}

void TstMaps::largeLogitsStayExact() {
  SyntheticCapture options;
  options.tokens = 200;
  options.dim = 64;
  options.scale = 0.5;  // logits of some ±30: rows that are nearly one-hot
  const auto capture = makeCapture(options);
  const DenseHead dense = denseHead(*capture, 0, 0);
  const std::vector<float> p = probabilities(*makeHeadView(*capture, 0, 0), {0, 200, 0, 200});
  double difference = 0;
  for (std::size_t i = 0; i < p.size(); ++i) {
    difference = std::max(difference, std::abs(static_cast<double>(p[i]) - dense.probabilities[i]));
  }
  QVERIFY2(difference <= 1e-5, qPrintable(QString::number(difference)));
}

void TstMaps::interventionsEqualTheDenseSoftmax_data() {
  QTest::addColumn<int>("which");
  QTest::newRow("base") << 0;
  QTest::newRow("drop") << 1;
  QTest::newRow("move") << 2;
  QTest::newRow("no rope") << 3;
  QTest::newRow("drop, then move twice") << 4;
}

void TstMaps::interventionsEqualTheDenseSoftmax() {
  QFETCH(int, which);
  for (const RopePairing pairing : {RopePairing::Half, RopePairing::Interleaved}) {
    SyntheticCapture options;
    options.tokens = 80;
    options.dim = 10;
    options.rotaryDims = 8;
    options.pairing = pairing;
    options.attentionScaling = 1.2;
    const auto capture = makeCapture(options);
    const std::vector<Interventions> cases{{500.0, {}, {}, false},
                                           {{}, {2, 0}, {}, false},
                                           {{}, {}, {{3, 1}}, false},
                                           {{}, {}, {}, true},
                                           {{}, {1}, {{1, 0}, {0, 3}}, false}};
    const Interventions& chosen = cases[static_cast<std::size_t>(which)];

    Rope rope = *capture->rope(0);
    const CaptureLayer& layer = capture->layer(0);
    std::vector<float> q(800), k(800);
    layer.q[1].read(0, 80, q.data());
    layer.k[0].read(0, 80, k.data());
    const auto element = [&](std::vector<float>& rows, int t, int m, bool second) -> float& {
      const int d = pairing == RopePairing::Half ? m + (second ? 4 : 0) : 2 * m + (second ? 1 : 0);
      return rows[static_cast<std::size_t>(t * 10 + d)];
    };
    for (int t = 0; t < 80; ++t) {
      for (const bool second : {false, true}) {
        for (const int m : chosen.dropChannels) {
          element(q, t, m, second) = 0;
        }
        for (const auto& [m, n] : chosen.moveChannels) {
          std::swap(element(q, t, m, second), element(q, t, n, second));
          std::swap(element(k, t, m, second), element(k, t, n, second));
        }
      }
    }
    for (int m = 0; m < 4; ++m) {
      double& frequency = rope.invFreq[static_cast<std::size_t>(m)];
      frequency = chosen.noRope ? 0 : chosen.ropeBase ? std::pow(*chosen.ropeBase, -m / 4.0) : frequency;
    }
    const auto rows = [](const std::vector<float>& from) {
      return FloatRows{reinterpret_cast<const std::byte*>(from.data()), FloatType::F32, 80, 10};
    };
    const DenseHead dense = denseHead(capture->header(), capture->attention(0), rows(q), rows(k), 0.0, &rope);
    const auto view = makeHeadView(*capture, 0, 1, chosen);
    const std::vector<float> p = probabilities(*view, {0, 80, 0, 80});
    for (std::size_t i = 0; i < p.size(); ++i) {
      QVERIFY(std::abs(static_cast<double>(p[i]) - dense.probabilities[i]) <= 1e-5);
    }
  }
}

void TstMaps::impossibleRequestsAreErrors() {
  const auto capture = makeCapture({});
  const auto view = makeHeadView(*capture, 0, 0);
  QVERIFY_EXCEPTION_THROWN(makeHeadView(*capture, 1, 0), Error);
  QVERIFY_EXCEPTION_THROWN(makeHeadView(*capture, 0, 2), Error);
  QVERIFY_EXCEPTION_THROWN(makeHeadView(*capture, 0, -1), Error);
  QVERIFY_EXCEPTION_THROWN(makeHeadView(*capture, 0, 0, {{}, {4}, {}, false}), Error);
  QVERIFY_EXCEPTION_THROWN(makeHeadView(*capture, 0, 0, {{}, {}, {{0, -1}}, false}), Error);
  QVERIFY_EXCEPTION_THROWN(makeHeadView(*capture, 0, 0, {-3.0, {}, {}, false}), Error);
  QVERIFY_EXCEPTION_THROWN(probabilities(*view, {0, 65, 0, 64}), Error);
  QVERIFY_EXCEPTION_THROWN(logits(*view, {0, 64, -1, 64}), Error);
  QVERIFY_EXCEPTION_THROWN(pooledAll(*view, {9, 3, 0, 64}, 1, 1), Error);
  QVERIFY_EXCEPTION_THROWN(pooledAll(*view, {0, 64, 0, 64}, 0, 1), Error);
}

void TstMaps::goldenProbabilities_data() {
  const std::filesystem::path folder = std::filesystem::path(HEADSCOPE_SHARED) / "models" / "families";
  if (!std::filesystem::exists(folder)) {
    QSKIP("the golden files in shared/models/families are not there");
  }
  QTest::addColumn<QString>("path");
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("golden") && name.ends_with(".safetensors")) {
      QTest::newRow((entry.path().parent_path().filename() / name).c_str()) << QString(entry.path().c_str());
    }
  }
}

void TstMaps::goldenProbabilities() {
  QFETCH(QString, path);
  const std::filesystem::path file = path.toStdString();
  const GoldenCapture golden(file.parent_path(), file.filename());
  const Capture& capture = *golden.capture();
  const std::int64_t tokens = capture.tokens();
  for (int layer = 0; layer < capture.header().layers; ++layer) {
    const CaptureLayer& data = capture.layer(layer);
    const std::vector<float> expected = golden.values(concat("probs.", layer));
    const std::vector<float> qPost = golden.values(concat("q_post.", layer));
    const RowPreparation rows(capture, layer);
    for (int head = 0; head < data.heads; ++head) {
      std::vector<float> q(static_cast<std::size_t>(tokens * data.dim));
      rows.read(RowsOf::Query, head, 0, tokens, q.data());
      const auto qBegin = qPost.begin() + head * tokens * data.dim;
      QVERIFY(worst(q, {qBegin, qBegin + tokens * data.dim}) <=
              1e-5 * std::max(1.0f, *std::max_element(qPost.begin(), qPost.end())));
      const auto begin = expected.begin() + head * tokens * tokens;
      const auto view = makeHeadView(capture, layer, head);
      const double difference = worst(probabilities(*view, {0, tokens, 0, tokens}), {begin, begin + tokens * tokens});
      QVERIFY2(difference <= 1e-5, qPrintable(QString::number(difference)));
    }
  }
}

void TstMaps::kernelSetsAgree() {
  SyntheticCapture options;
  options.tokens = 700;
  options.dim = 33;
  options.rotaryDims = 20;
  options.softcap = 5.0;
  options.window = 200;
  const auto capture = makeCapture(options);
  const auto view = makeHeadView(*capture, 0, 0);
  std::vector<PooledMaps> results;
  for (const std::string& set : kernelNames()) {
    QVERIFY(useKernels(set));
    QCOMPARE(std::string(kernels().name), set);
    results.push_back(pooledAll(*view, {0, 700, 0, 700}, 50, 70));
  }
  for (const PooledMaps& result : results) {
    QVERIFY(worst(result.max, results[0].max) <= 2e-6);
    QVERIFY(worst(result.mean, results[0].mean) <= 2e-6);
    QVERIFY(worst(result.mass, results[0].mass) <= 2e-6);
  }
  QVERIFY(!useKernels("abacus"));
}

void TstMaps::powersAreAccurate() {
  for (const Kernels* set : availableKernels()) {
    double difference = 0;
    for (double start = -125; start < 20; start += 0.37) {
      std::vector<float> values;
      for (int i = 0; i < 37; ++i) {
        values.push_back(static_cast<float>(start + 0.013 * i));
      }
      std::vector<float> powers = values;
      set->powers(powers.data(), powers.size());
      for (std::size_t i = 0; i < values.size(); ++i) {
        const double expected = std::exp2(static_cast<double>(values[i]));
        difference = std::max(difference, std::abs(static_cast<double>(powers[i]) - expected) / expected);
      }
    }
    QVERIFY2(difference <= 3e-7, qPrintable(QString::number(difference)));
    std::vector<float> special{-std::numeric_limits<float>::infinity(), -1000.0f, 0.0f, 1.0f};
    set->powers(special.data(), special.size());
    QVERIFY(special[0] <= 1e-38f && special[1] <= 1e-38f && special[2] == 1.0f && special[3] == 2.0f);
  }
}

void TstMaps::visiblePairsAreCounted() {
  for (const std::optional<std::int64_t> window : {std::optional<std::int64_t>(), std::optional<std::int64_t>(1),
                                                   std::optional<std::int64_t>(5), std::optional<std::int64_t>(100)}) {
    for (std::int64_t rowBegin = 0; rowBegin < 12; rowBegin += 3) {
      for (std::int64_t rowEnd = rowBegin; rowEnd < 20; rowEnd += 2) {
        for (std::int64_t colBegin = 0; colBegin < 15; ++colBegin) {
          for (std::int64_t colEnd = colBegin; colEnd < 20; ++colEnd) {
            std::int64_t pairs = 0;
            for (std::int64_t t = rowBegin; t < rowEnd; ++t) {
              for (std::int64_t i = colBegin; i < colEnd; ++i) {
                pairs += i <= t && (!window || i > t - *window) ? 1 : 0;
              }
            }
            QCOMPARE(visiblePairs(window, rowBegin, rowEnd, colBegin, colEnd), pairs);
          }
        }
      }
    }
  }
}

void TstMaps::anyNumberOfThreadsGivesTheSame() {
  SyntheticCapture options;
  options.tokens = 900;
  const auto capture = makeCapture(options);
  const auto view = makeHeadView(*capture, 0, 0);
  setMapThreads(1);
  const PooledMaps one = pooledAll(*view, {0, 900, 0, 900}, 3, 40);
  setMapThreads(5);
  const PooledMaps five = pooledAll(*view, {0, 900, 0, 900}, 3, 40);
  setMapThreads(0);
  QVERIFY(one.max == five.max && one.mean == five.mean && one.mass == five.mass);
}

void TstMaps::cancelStopsAMap() {
  const auto capture = makeCapture({});
  const auto view = makeHeadView(*capture, 0, 0);
  std::stop_source stop;
  stop.request_stop();
  JobControl control;
  control.stop = stop.get_token();
  QVERIFY_EXCEPTION_THROWN(pooledAll(*view, {0, 64, 0, 64}, 8, 8, control), Cancelled);
  QVERIFY_EXCEPTION_THROWN(probabilities(*view, {0, 64, 0, 64}, control), Cancelled);
  QVERIFY_EXCEPTION_THROWN(makeHeadView(*capture, 0, 0, {}, control), Cancelled);
  QCOMPARE(pooledAll(*view, {0, 64, 0, 64}, 8, 8).max.size(), std::size_t{64});  // the pool is still sound
}

QTEST_GUILESS_MAIN(TstMaps)
#include "tst_maps.moc"
