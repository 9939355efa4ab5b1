#include "core/maps/log_sum_exp.h"

#include <algorithm>

#include "core/base/parallel.h"

namespace headscope {

void fillNormalizers(const LogitRule& rule, const float* keys, std::span<QueryRow> rows) {
  if (rows.empty()) {
    return;
  }
  Sweep sweep(rule, keys);
  sweep.load(rows, false);
  const auto lanes = static_cast<std::size_t>(sweep.lanes());
  std::vector<float> max(sweep.panels() * lanes, kNothing), sum(sweep.panels() * lanes, 0.0f);
  sweep.run(0, rows.back().token + 1, [&](std::size_t panel, std::int64_t, int count, const float* y) {
    sweep.kernels().onlineSum(y, count, max.data() + panel * lanes, sum.data() + panel * lanes);
  });
  for (std::size_t i = 0; i < rows.size(); ++i) {
    rows[i].normalizer = static_cast<float>(static_cast<double>(max[i]) * kLn2 + std::log(static_cast<double>(sum[i])));
  }
}

std::vector<float> logSumExp(const LogitRule& rule, const float* q, const float* k, std::int64_t tokens,
                             const JobControl& control) {
  std::vector<float> lse(static_cast<std::size_t>(tokens));
  const std::int64_t rowsOfTask = rowsPerTask(tokens);
  const std::int64_t tasks = (tokens + rowsOfTask - 1) / rowsOfTask;
  parallelFor(tasks, [&](std::int64_t task) {
    control.checkpoint();
    const std::int64_t begin = (tasks - 1 - task) * rowsOfTask;  // the longest rows first
    std::vector<QueryRow> rows;
    for (std::int64_t t = begin; t < std::min(begin + rowsOfTask, tokens); ++t) {
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
