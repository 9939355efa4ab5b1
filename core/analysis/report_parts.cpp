#include "core/analysis/report_parts.h"

#include <cmath>
#include <limits>
#include <vector>

namespace headscope {
namespace {

/// Mean over those that are a number; NaN if none is.
double meanOf(const std::vector<double>& values) {
  double sum = 0;
  int count = 0;
  for (const double value : values) {
    if (!std::isnan(value)) {
      sum += value;
      ++count;
    }
  }
  return count > 0 ? sum / count : std::numeric_limits<double>::quiet_NaN();
}

}  // namespace

void fillMeans(LayerReport& layer) {
  const auto column = [&layer](auto pick) {
    std::vector<double> values;
    for (const HeadReport& head : layer.heads) {
      values.push_back(pick(head));
    }
    return meanOf(values);
  };
  for (std::size_t s = 0; s < kScoreCount; ++s) {
    layer.means.values[s] = column([s](const HeadReport& head) { return head.scores.values[s]; });
  }
  if (!layer.heads.empty() && layer.heads.front().measures) {
    layer.measures.emplace();
    for (std::size_t m = 0; m < kMeasureCount; ++m) {
      (*layer.measures)[m] = column([m](const HeadReport& head) { return (*head.measures)[m]; });
    }
  }
}

BoundReport reportBounds(const HeadVectors& head, const AnalysisOptions& options, const JobControl& control) {
  const std::optional<std::int64_t> season =
      options.season || options.lagTokens == 0 ? options.season : bestSeason(head, options.lagTokens);
  return checkBounds(head, {season, options.boundRows(), false}, control);
}

}  // namespace headscope
