#include "core/maps/log_sum_exp.h"

#include <algorithm>

#include "core/maps/parallel.h"

namespace headscope {

void fillNormalizers(const LogitRule& rule, const float* keys, std::span<QueryRow> rows) {
  Sweep sweep(rule, keys);
  const auto lanes = static_cast<std::size_t>(sweep.lanes());
  std::vector<float> max(lanes), sum(lanes);
  for (std::size_t first = 0; first < rows.size(); first += lanes) {
    const std::span<QueryRow> panel = rows.subspan(first, std::min(lanes, rows.size() - first));
    std::fill(max.begin(), max.end(), kNothing);
    std::fill(sum.begin(), sum.end(), 0.0f);
    sweep.load(panel, false);
    sweep.run(0, panel.back().token + 1, [&](std::int64_t, int count, const float* y) {
      sweep.kernels().onlineSum(y, count, max.data(), sum.data());
    });
    for (std::size_t lane = 0; lane < panel.size(); ++lane) {
      panel[lane].normalizer =
          static_cast<float>(static_cast<double>(max[lane]) * kLn2 + std::log(static_cast<double>(sum[lane])));
    }
  }
}

std::vector<float> logSumExp(const LogitRule& rule, const float* q, const float* k, std::int64_t tokens,
                             const JobControl& control) {
  constexpr std::int64_t kRows = 128;
  std::vector<float> lse(static_cast<std::size_t>(tokens));
  const std::int64_t tasks = (tokens + kRows - 1) / kRows;
  parallelFor(tasks, [&](std::int64_t task) {
    control.checkpoint();
    const std::int64_t begin = (tasks - 1 - task) * kRows;  // the longest rows first
    std::vector<QueryRow> rows;
    for (std::int64_t t = begin; t < std::min(begin + kRows, tokens); ++t) {
      rows.push_back({t, q + t * rule.dim, 0});
    }
    fillNormalizers(rule, k, rows);
    for (const QueryRow& row : rows) {
      lse[static_cast<std::size_t>(row.token)] = row.normalizer;
    }
  });
  return lse;
}

}  // namespace headscope
