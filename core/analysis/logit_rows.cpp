#include "core/analysis/logit_rows.h"

#include <algorithm>
#include <cmath>

namespace headscope {
namespace {

double logOfSum(double a, double b) {
  return std::max(a, b) + std::log1p(std::exp(-std::abs(a - b)));
}

}  // namespace

std::vector<RowRun> rowRuns(std::int64_t tokens, std::int64_t rows) {
  std::vector<RowRun> runs;
  if (rows <= 0 || rows >= tokens) {
    for (std::int64_t first = 0; first < tokens; first += LogitRows::kBlock) {
      runs.push_back({first, std::min(LogitRows::kBlock, tokens - first)});
    }
    return runs;
  }
  constexpr std::int64_t kRun = 8;
  const std::int64_t count = (rows + kRun - 1) / kRun;
  std::int64_t next = 0;
  for (std::int64_t j = 0; j < count; ++j) {
    const std::int64_t centre = tokens * (2 * j + 1) / (2 * count);
    const std::int64_t first = std::max(next, centre - kRun / 2);
    const std::int64_t last = std::min(first + kRun, tokens);
    if (first < last) {
      runs.push_back({first, last - first});
    }
    next = last;
  }
  return runs;
}

void LogitRows::logits(std::int64_t first, std::int64_t count, std::int64_t keys, double* out,
                       std::int64_t stride) const {
  head_.keys->packed.products(head_.dotQ.data() + first * head_.dim, count, 0, keys, head_.frame->spec.scale, out,
                              stride);
}

AttentionRow LogitRows::row(std::int64_t t, double* logits, double* p) const {
  AttentionRow row;
  row.t = t;
  row.firstKey = head_.firstKey(t);
  double* a = logits + row.firstKey;
  const std::int64_t n = row.keys();
  if (const auto& cap = head_.frame->spec.softcap) {
    for (std::int64_t i = 0; i < n; ++i) {
      a[i] = *cap * std::tanh(a[i] / *cap);
    }
  }
  const RowKernels& kernels = rowKernels();
  if (head_.lse.empty()) {
    const double top = kernels.maximum(a, n);
    row.logTotal = top + std::log(kernels.exponentials(a, n, top, p + row.firstKey).mass);
  } else {
    row.logTotal = head_.lse[static_cast<std::size_t>(t)];
  }
  if (head_.sink) {
    row.logTotal = logOfSum(row.logTotal, *head_.sink);
  }
  row.sums = kernels.exponentials(a, n, row.logTotal, p + row.firstKey);
  row.logits = logits;
  row.p = p;
  return row;
}

void LogitRows::visit(const RowRun& run, const std::function<void(const AttentionRow&)>& visit) {
  for (std::int64_t first = run.first; first < run.first + run.count; first += kBlock) {
    const std::int64_t count = std::min(kBlock, run.first + run.count - first);
    const std::int64_t begin = head_.firstKey(first), end = first + count;
    const std::int64_t stride = PackedRows::paddedLength(begin, end);
    logits_.resize(static_cast<std::size_t>(std::max<std::int64_t>(count * stride, stride)));
    p_.resize(static_cast<std::size_t>(stride));
    head_.keys->packed.products(head_.dotQ.data() + first * head_.dim, count, begin, end, head_.frame->spec.scale,
                                logits_.data(), stride);
    const std::int64_t offset = PackedRows::firstIndex(begin);
    for (std::int64_t r = 0; r < count; ++r) {
      visit(row(first + r, logits_.data() + r * stride - offset, p_.data() - offset));
    }
  }
}

void LogitRows::probabilities(std::int64_t t, std::vector<double>& p) {
  p.assign(static_cast<std::size_t>(t + 1), 0.0);
  visit({t, 1}, [&p](const AttentionRow& row) {
    std::copy(row.p + row.firstKey, row.p + row.t + 1, p.begin() + row.firstKey);
  });
}

std::vector<double> logSumExp(const HeadVectors& head, const JobControl& control) {
  std::vector<double> lse;
  lse.reserve(static_cast<std::size_t>(head.tokens()));
  LogitRows rows(head);
  for (const RowRun& run : rowRuns(head.tokens(), 0)) {
    control.checkpoint();
    rows.visit(run, [&](const AttentionRow& row) {
      const double top = rowKernels().maximum(row.logits + row.firstKey, row.keys());
      double total = 0;
      for (std::int64_t i = row.firstKey; i <= row.t; ++i) {
        total += std::exp(row.logits[i] - top);
      }
      lse.push_back(top + std::log(total));
    });
  }
  return lse;
}

}  // namespace headscope
