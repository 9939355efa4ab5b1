#pragma once

// Rows of one head's logits and probabilities in double, block by block; nothing larger than a block is kept.

#include <cstdint>
#include <functional>
#include <vector>

#include "core/analysis/head_vectors.h"
#include "core/analysis/row_kernels.h"
#include "core/base/job_control.h"

namespace headscope {

/// One row of attention. Indices are absolute: logits[i] and p[i] are valid for firstKey ≤ i ≤ t.
struct AttentionRow {
  std::int64_t t = 0, firstKey = 0;
  const double* logits = nullptr;  ///< after softcap
  const double* p = nullptr;
  RowSums sums;         ///< of p; position counts from firstKey
  double logTotal = 0;  ///< ln of what the exponentials were divided by: lse, with the sink where there is one
  std::int64_t keys() const noexcept { return t - firstKey + 1; }
};

/// Rows [first, first + count).
struct RowRun {
  std::int64_t first = 0, count = 0;
};

/// All rows in runs of a block, or about `rows` of them in runs of eight, spread evenly.
std::vector<RowRun> rowRuns(std::int64_t tokens, std::int64_t rows);

class LogitRows {
 public:
  static constexpr std::int64_t kBlock = 24;  ///< rows at once: a block of 8,192 keys stays in the level-2 cache

  /// `head` must outlive this.
  explicit LogitRows(const HeadVectors& head) : head_(head) {}

  /// Before softcap and window: out[r · stride + i] = a(first + r, i) for 0 ≤ i < keys, r < count. `stride` at least
  /// paddedLength(keys); the rest up to there is written, too.
  void logits(std::int64_t first, std::int64_t count, std::int64_t keys, double* out, std::int64_t stride) const;
  static std::int64_t paddedLength(std::int64_t keys) noexcept { return PackedRows::paddedLength(0, keys); }

  /// Calls `visit` for each row of `run`, at most a block at once.
  void visit(const RowRun& run, const std::function<void(const AttentionRow&)>& visit);
  /// p(t, 0 … t) with zeros outside the window, [t + 1].
  void probabilities(std::int64_t t, std::vector<double>& p);

 private:
  AttentionRow row(std::int64_t t, double* logits, double* p) const;

  const HeadVectors& head_;
  std::vector<double> logits_, p_;
};

/// ln Σ exp over the visible keys of each row, without any sink: for heads that are in no capture.
std::vector<double> logSumExp(const HeadVectors& head, const JobControl& control = {});

}  // namespace headscope
