// What the analysis costs and how well it classifies.
//   bench_analysis                 costs per head by text length; confusion on 1,000 noisy constructed heads
//   bench_analysis MODEL [TOKENS|IDS.json]  all metrics of all heads of a real run, against its prefill; random ids
//   with
//                                           repeats, or the ids of a file (a JSON list)
// Processor time of all threads, so that other work on the machine matters less; wall time beside it.

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <random>
#include <string>

#include "core/analysis/constructed_heads.h"
#include "core/analysis/logit_rows.h"
#include "core/analysis/report.h"
#include "core/files/json.h"
#include "core/model/model.h"

using namespace headscope;

namespace {

double processorSeconds() {
  return static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
}

template <typename Work>
double milliseconds(Work work) {
  const double start = processorSeconds();
  int repeats = 0;
  do {
    work();
    ++repeats;
  } while (processorSeconds() - start < 0.2);
  return (processorSeconds() - start) / repeats * 1e3;
}

HeadVectors randomHead(std::int64_t tokens, int dim) {
  std::mt19937 random(1);
  std::normal_distribution<double> normal;
  std::vector<double> q(static_cast<std::size_t>(tokens * dim)), k(q.size());
  std::generate(q.begin(), q.end(), [&] { return normal(random); });
  std::generate(k.begin(), k.end(), [&] { return normal(random); });
  Rope rope;
  rope.rotaryDims = dim;
  for (int m = 0; m < dim / 2; ++m) {
    rope.invFreq.push_back(std::pow(1e5, -2.0 * m / dim));
  }
  AttentionSpec spec;
  spec.scale = 1 / std::sqrt(static_cast<double>(dim));
  HeadVectors head = makeHeadVectors(q, k, dim, spec, rope);
  head.lse = logSumExp(head);
  return head;
}

void costs() {
  std::printf("Cost per head, dim 64, milliseconds of one core\n");
  std::printf("%8s %12s %12s %12s %8s %8s %12s %12s\n", "tokens", "similarity", "rows, exact", "rows, 128", "lens",
              "cases", "bounds", "bounds, 128");
  for (const std::int64_t tokens : {512, 2048, 8192}) {
    const HeadVectors head = randomHead(tokens, 64);
    const EarlierTokens none;
    HeadScores scores;
    RopeLens lens;
    const double similarity = milliseconds([&] { similarityScores(head, scores); });
    const double exact = milliseconds([&] { attentionScores(head, none, {}, {}, scores); });
    const double sampled = milliseconds([&] { attentionScores(head, none, {128}, {}, scores); });
    const double lensCost = milliseconds([&] { lens = ropeLens(head); });
    const double cases = milliseconds([&] { classify(head, lens); });
    const double bounds = milliseconds([&] { checkBounds(head); });
    const double boundsSampled = milliseconds([&] { checkBounds(head, {{}, {128}, false}); });
    std::printf("%8lld %12.2f %12.2f %12.2f %8.2f %8.2f %12.2f %12.2f\n", static_cast<long long>(tokens), similarity,
                exact, sampled, lensCost, cases, bounds, boundsSampled);
  }
}

/// The next plan with room for its case.
ConstructedHead nextHead(Case kind, double noise, unsigned seed) {
  for (unsigned attempt = 0; attempt < 50; ++attempt) {
    try {
      return constructHead(randomPlan(kind, noise, seed + 100000 * attempt));
    } catch (const Error&) {
      continue;
    }
  }
  throw Error("", "no plan has room");
}

void confusion(double noise) {
  std::array<std::array<int, kCaseCount>, kCaseCount> table{};
  int right = 0, predictedRight = 0, periods = 0, withPeriod = 0;
  for (unsigned j = 0; j < 1000; ++j) {
    const auto kind = static_cast<Case>(j % kCaseCount);
    const ConstructedHead built = nextHead(kind, noise, j);
    const HeadVectors head = headVectors(built);
    const RopeLens lens = ropeLens(head);
    const CaseResult result = classify(head, lens);
    ++table[static_cast<std::size_t>(kind)][static_cast<std::size_t>(result.label)];
    right += result.label == kind ? 1 : 0;
    predictedRight += result.predictedLabel == kind ? 1 : 0;
    if (built.period) {
      ++withPeriod;
      const double allowed = std::max(0.5, 0.03 * *built.period);
      periods += lens.measuredPeriod && std::abs(lens.measuredPeriod->tokens - *built.period) <= allowed ? 1 : 0;
    }
  }
  std::printf(
      "\n1,000 constructed heads, noise %.2f of the rms: %d labels right, %d predicted ones, %d of %d periods\n", noise,
      right, predictedRight, periods, withPeriod);
  for (std::size_t row = 0; row < kCaseCount; ++row) {
    std::printf("  %-20s", std::string(caseKey(static_cast<Case>(row))).c_str());
    for (const int count : table[row]) {
      std::printf("%6d", count);
    }
    std::printf("\n");
  }
}

void report(const char* name, const Capture& capture, const AnalysisOptions& options, double prefillProcessor,
            double prefillWall) {
  const double start = processorSeconds();
  const Report result = analyzeCapture(capture, options);
  const double spent = processorSeconds() - start;
  std::printf("%-46s %7.2f s wall (%5.1f %%) %7.2f s processor (%5.1f %%)\n", name, result.seconds,
              100 * result.seconds / prefillWall, spent, 100 * spent / prefillProcessor);
  if (!options.cases) {
    return;
  }
  std::printf("    labels agree with prediction: %lld of %lld heads; rank correlation:",
              static_cast<long long>(result.agreement.sameLabel), static_cast<long long>(result.agreement.heads));
  for (std::size_t c = 0; c < kCaseCount; ++c) {
    std::printf(" %s %.2f", std::string(caseKey(static_cast<Case>(c))).c_str(),
                result.agreement.rankCorrelation[c].value_or(std::nan("")));
  }
  std::printf("\n");
}

std::vector<std::int64_t> randomIds(std::int64_t tokens) {
  std::vector<std::int64_t> ids;
  std::mt19937 random(5);
  for (std::int64_t t = 0; t < tokens; ++t) {
    ids.push_back(t > 0 && t % 3 == 0 ? ids[static_cast<std::size_t>(t / 3)]
                                      : static_cast<std::int64_t>(random() % 200 + 50));
  }
  return ids;
}

void againstPrefill(const std::string& path, const std::string& input) {
  const std::vector<std::int64_t> ids = input.ends_with(".json") ? readJson(input).get<std::vector<std::int64_t>>()
                                                                 : randomIds(std::atoll(input.c_str()));
  const auto model = Model::open(path);
  RunOptions run;
  run.loss = false;
  model->run(std::span(ids).first(std::min<std::size_t>(64, ids.size())), run);  // warm
  const double start = processorSeconds();
  const RunResult result = model->run(ids, run);
  const double processor = processorSeconds() - start;
  std::printf("%s, %lld tokens: prefill %.2f s wall, %.2f s processor\n", path.c_str(),
              static_cast<long long>(ids.size()), result.seconds, processor);
  AnalysisOptions options;
  options.bounds = false;
  report("all scores, lens and cases, exact", *result.capture, options, processor, result.seconds);
  options.bounds = true;
  report("the same with bounds, exact", *result.capture, options, processor, result.seconds);
  options = estimateOptions();
  report("estimate: scores, lens, cases and bounds", *result.capture, options, processor, result.seconds);
  options.bounds = false;
  report("estimate: scores, lens and cases", *result.capture, options, processor, result.seconds);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc > 1) {
      againstPrefill(argv[1], argc > 2 ? argv[2] : "2048");
      return 0;
    }
    costs();
    for (const double noise : {0.05, 0.2, 0.4, 0.6}) {
      confusion(noise);
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_analysis: %s\n", error.what());
    return 1;
  }
  return 0;
}
