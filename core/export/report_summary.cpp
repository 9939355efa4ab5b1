#include "core/export/report_summary.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/error.h"

namespace headscope {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

template <std::size_t N>
std::array<Spread, N> results(const std::array<SpreadSum, N>& sums) {
  std::array<Spread, N> spreads;
  std::transform(sums.begin(), sums.end(), spreads.begin(), [](const SpreadSum& sum) { return sum.result(); });
  return spreads;
}

template <typename Values, std::size_t N>
void addAll(std::array<SpreadSum, N>& sums, const Values& values) {
  for (std::size_t index = 0; index < N; ++index) {
    sums[index].add(values[index]);
  }
}

// Tightness over the pairs of both; the mean is weighted by them.
void addBound(BoundSummary& sum, const BoundSummary& next) {
  const auto pairs = static_cast<double>(sum.pairs);
  const auto more = static_cast<double>(next.pairs);
  if (next.tightnessMean) {
    const double before = sum.tightnessMean.value_or(0) * (sum.tightnessMean ? pairs : 0);
    const double weight = (sum.tightnessMean ? pairs : 0) + more;
    sum.tightnessMean = (before + *next.tightnessMean * more) / weight;
    sum.tightnessMax = std::max(sum.tightnessMax.value_or(*next.tightnessMax), *next.tightnessMax);
  }
  sum.violations += next.violations;
  sum.pairs += next.pairs;
}

CaseScores means(const std::array<SpreadSum, kCaseCount>& sums) {
  CaseScores scores{};
  std::transform(sums.begin(), sums.end(), scores.begin(), [](const SpreadSum& sum) { return sum.result().mean; });
  return scores;
}

}  // namespace

void SpreadSum::add(double value) {
  if (std::isnan(value)) {
    return;
  }
  ++count_;
  const double difference = value - mean_;
  mean_ += difference / static_cast<double>(count_);
  squares_ += difference * (value - mean_);
}

void SpreadSum::add(const std::optional<double>& value) {
  add(value.value_or(kNaN));
}

Spread SpreadSum::result() const {
  if (count_ == 0) {
    return {kNaN, kNaN, 0};
  }
  return {mean_, std::sqrt(squares_ / static_cast<double>(count_)), count_};
}

void SummaryBuilder::start(const Report& report) {
  for (const LayerReport& layer : report.layers) {
    layers_.emplace_back().layer = layer.layer;
    for (const HeadReport& head : layer.heads) {
      heads_.emplace_back().first = head;
    }
  }
  agreement_ = report.agreement;
}

void SummaryBuilder::addHead(HeadSums& sums, const HeadReport& head) {
  addAll(sums.scores, head.scores.values);
  if (head.measures) {
    addAll(sums.measures, *head.measures);
  }
  addAll(sums.cases, head.cases.scores);
  addAll(sums.predictedCases, head.cases.predicted);
  if (head.dominantChannel) {
    const auto channel = static_cast<std::size_t>(*head.dominantChannel);
    sums.dominant.resize(std::max(sums.dominant.size(), channel + 1), 0);
    ++sums.dominant[channel];
  }
  sums.predictedPeriod.add(head.period.predicted);
  sums.measuredPeriod.add(head.period.measured);
  sums.periodStrength.add(head.period.strength);
  if (head.retrieval) {
    sums.retrieval.add(head.retrieval->copied);
    sums.retrievalMass.add(head.retrieval->mass);
  }
  for (std::size_t index = 0; head.bounds && index < kStatementCount; ++index) {
    addBound(sums.bounds[index], head.bounds->summaries[index]);
  }
}

void SummaryBuilder::addLayer(LayerSums& sums, const LayerReport& layer) {
  addAll(sums.scores, layer.means.values);
  if (layer.measures) {
    sums.measured = true;
    addAll(sums.measures, *layer.measures);
  }
  sums.influence = sums.influence || layer.blockInfluence.has_value();
  sums.blockInfluence.add(layer.blockInfluence);
  sums.blockInfluenceResidual.add(layer.blockInfluenceResidual);
}

void SummaryBuilder::add(const Report& report) {
  if (documents_ == 0) {
    start(report);
  }
  ++documents_;
  tokens_ += report.tokens;
  exact_ = exact_ && report.exact;
  std::size_t at = 0;
  for (std::size_t index = 0; index < report.layers.size(); ++index) {
    if (index >= layers_.size() || at + report.layers[index].heads.size() > heads_.size()) {
      throw Error("", "reports of different models can't be summed up");
    }
    addLayer(layers_[index], report.layers[index]);
    for (const HeadReport& head : report.layers[index].heads) {
      addHead(heads_[at++], head);
    }
  }
}

HeadSummary SummaryBuilder::headSummary(const HeadSums& sums) const {
  HeadSummary head;
  head.layer = sums.first.layer;
  head.head = sums.first.head;
  head.kvHead = sums.first.kvHead;
  head.scores = results(sums.scores);
  if (sums.first.measures) {
    head.measures = results(sums.measures);
  }
  head.cases = results(sums.cases);
  head.label = documents_ == 1 ? sums.first.cases.label : caseFrom(means(sums.cases), thresholds_);
  head.predictedLabel =
      documents_ == 1 ? sums.first.cases.predictedLabel : caseFrom(means(sums.predictedCases), thresholds_);
  const auto most = std::max_element(sums.dominant.begin(), sums.dominant.end());
  if (most != sums.dominant.end()) {
    head.dominantChannel = static_cast<int>(most - sums.dominant.begin());
  }
  head.predictedPeriod = sums.predictedPeriod.result();
  head.measuredPeriod = sums.measuredPeriod.result();
  head.periodStrength = sums.periodStrength.result();
  head.retrieval = sums.retrieval.result();
  head.retrievalMass = sums.retrievalMass.result();
  if (sums.first.bounds) {
    head.bounds = sums.bounds;
    head.season = documents_ == 1 ? std::optional(sums.first.bounds->season) : std::nullopt;
  }
  return head;
}

ReportSummary SummaryBuilder::summary() const {
  ReportSummary result;
  result.documents = documents_;
  result.tokens = tokens_;
  result.exact = exact_;
  for (const HeadSums& sums : heads_) {
    result.heads.push_back(headSummary(sums));
  }
  for (const LayerSums& sums : layers_) {
    LayerSummary layer;
    layer.layer = sums.layer;
    layer.scores = results(sums.scores);
    if (sums.measured) {
      layer.measures = results(sums.measures);
    }
    if (sums.influence) {
      layer.blockInfluence = sums.blockInfluence.result();
      layer.blockInfluenceResidual = sums.blockInfluenceResidual.result();
    }
    result.layers.push_back(layer);
  }
  if (documents_ == 1) {
    result.agreement = agreement_;
  }
  return result;
}

}  // namespace headscope
