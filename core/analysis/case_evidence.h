#pragma once

// From rows of attention, measured or predicted, to CaseEvidence. Inside core/analysis only.

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "core/analysis/cases.h"
#include "core/base/job_control.h"

namespace headscope {

/// Rows of attention [t + 1], from key 0 to t.
struct RowSource {
  std::function<void(std::int64_t t, std::vector<double>& p)> row;
  /// Row t + lag as it is to be compared with row t at the same keys, or at keys moved by `lag`. Where the second is
  /// empty, the first serves for both.
  std::function<void(std::int64_t t, std::int64_t lag, std::vector<double>&p)> columnRow, diagonalRow;
};

/// The two longer lags at which columns and diagonals are looked at.
struct CaseLags {
  std::int64_t first = 0, second = 0;
};
CaseLags caseLags(std::int64_t tokens);

/// The whole number of tokens closest to 1, 2, 3 or 4 periods, within a third of the text; 0: none.
std::int64_t wholePeriods(std::optional<MeasuredPeriod> period, std::int64_t tokens);

/// `season` 0: none. `anchors`: places looked at.
CaseEvidence evidenceFromRows(const RowSource& rows, std::int64_t tokens, std::int64_t season,
                              std::optional<MeasuredPeriod> period, std::int64_t anchors, const JobControl& control);

}  // namespace headscope
