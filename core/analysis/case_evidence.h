#pragma once

// From rows of attention, measured or predicted, to CaseEvidence. Inside core/analysis only.

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
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

/// How alike the rows around one anchor are (row_agreement.h).
struct AnchorAgreement {
  double columnStep = 0, diagonalStep = 0, columnFirst = 0, diagonalFirst = 0, columnSecond = 0, diagonalSecond = 0;
  std::optional<double> season, between;  ///< none without a season
  std::optional<double> echo;             ///< none without whole periods, or too early in the text
};

/// Means over anchors. `season` 0: none.
CaseEvidence evidenceFrom(std::span<const AnchorAgreement> anchors, std::int64_t season,
                          std::optional<MeasuredPeriod> period);

/// `season` 0: none. `anchors`: places looked at.
CaseEvidence evidenceFromRows(const RowSource& rows, std::int64_t tokens, std::int64_t season,
                              std::optional<MeasuredPeriod> period, std::int64_t anchors, const JobControl& control);

}  // namespace headscope
