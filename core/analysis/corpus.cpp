#include "core/analysis/corpus.h"

#include <algorithm>
#include <iterator>

namespace headscope {
namespace {

template <std::size_t kCount>
void addAll(std::array<Spread, kCount>& spreads, const std::array<double, kCount>& values) {
  for (std::size_t j = 0; j < kCount; ++j) {
    spreads[j].add(values[j]);
  }
}

void addHead(HeadSpread& spread, const HeadReport& head) {
  addAll(spread.scores, head.scores.values);
  addAll(spread.caseScores, head.cases.scores);
  ++spread.labels[static_cast<std::size_t>(head.cases.label)];
  if (head.measures) {
    addAll(spread.measures, *head.measures);
  }
  if (head.period.measured) {
    spread.period.add(*head.period.measured);
  }
  spread.periodStrength.add(head.period.strength);
  for (std::size_t s = 0; head.bounds && s < kStatementCount; ++s) {
    const BoundSummary& bound = head.bounds->summaries[s];
    spread.violations[s] += bound.violations;
    if (bound.tightnessMean) {
      spread.tightness[s].add(*bound.tightnessMean);
    }
  }
}

LayerSpread emptySpread(const LayerReport& layer) {
  LayerSpread spread;
  spread.layer = layer.layer;
  for (const HeadReport& head : layer.heads) {
    HeadSpread empty;
    empty.layer = head.layer;
    empty.head = head.head;
    empty.kvHead = head.kvHead;
    spread.heads.push_back(empty);
  }
  return spread;
}

}  // namespace

Case HeadSpread::label() const {
  return static_cast<Case>(std::max_element(labels.begin(), labels.end()) - labels.begin());
}

void CorpusReport::add(const Report& report) {
  if (documents_ == 0) {
    std::transform(report.layers.begin(), report.layers.end(), std::back_inserter(layers_), emptySpread);
  }
  const bool fits = std::equal(report.layers.begin(), report.layers.end(), layers_.begin(), layers_.end(),
                               [](const LayerReport& a, const LayerSpread& b) {
                                 return a.layer == b.layer && a.heads.size() == b.heads.size();
                               });
  if (!fits) {
    throw Error("", "documents of a corpus must come from the same model: layers or heads differ");
  }
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    const LayerReport& layer = report.layers[l];
    for (std::size_t h = 0; h < layer.heads.size(); ++h) {
      addHead(layers_[l].heads[h], layer.heads[h]);
    }
    addAll(layers_[l].scores, layer.means.values);
    layers_[l].blockInfluence.add(layer.blockInfluence.value_or(std::numeric_limits<double>::quiet_NaN()));
    layers_[l].blockInfluenceResidual.add(
        layer.blockInfluenceResidual.value_or(std::numeric_limits<double>::quiet_NaN()));
  }
  ++documents_;
  tokens_ += report.tokens;
}

}  // namespace headscope
