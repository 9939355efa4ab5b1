#include "core/analysis/case_evidence.h"

#include <algorithm>
#include <cmath>

#include "core/analysis/row_agreement.h"

namespace headscope {
namespace {

/// Probability rows around one anchor.
class AnchorRows {
 public:
  AnchorRows(const RowSource& rows, std::int64_t anchor) : rows_(rows), anchor_(anchor) { rows_.row(anchor, base_); }

  /// Rows anchor and anchor + lag at the same keys.
  double column(std::int64_t lag) {
    rows_.columnRow(anchor_, lag, other_);
    return rowAgreement(base_, {other_.data(), base_.size()}, lag);
  }
  /// The same rows with keys moved by `lag`; call after column(lag).
  double diagonal(std::int64_t lag) {
    if (rows_.diagonalRow) {
      rows_.diagonalRow(anchor_, lag, other_);
    }
    return rowAgreement(base_, {other_.data() + lag, base_.size()}, lag);
  }
  /// The row against itself moved by `lag` keys.
  double echo(std::int64_t lag) const { return rowEcho(base_, lag); }

 private:
  const RowSource& rows_;
  std::int64_t anchor_;
  std::vector<double> base_, other_;
};

/// Running mean.
class Mean {
 public:
  void add(std::optional<double> x) {
    sum_ += x.value_or(0);
    count_ += x ? 1 : 0;
  }
  double clipped() const { return count_ > 0 ? std::clamp(sum_ / count_, 0.0, 1.0) : 0; }

 private:
  double sum_ = 0;
  int count_ = 0;
};

/// Where to look: `count` rows spread evenly over those that have `reach` rows after them and, if possible, before
/// them.
std::vector<std::int64_t> anchorRows(std::int64_t tokens, std::int64_t reach, std::int64_t count) {
  const std::int64_t last = std::max<std::int64_t>(2, tokens - reach - 1);
  const std::int64_t begin = std::clamp<std::int64_t>(std::max(tokens / 8, reach), 2, last);
  const std::int64_t places = std::max<std::int64_t>(1, tokens - reach - begin);
  const std::int64_t wanted = std::clamp<std::int64_t>(count, 1, places);
  std::vector<std::int64_t> anchors;
  for (std::int64_t j = 0; j < wanted; ++j) {
    anchors.push_back(begin + places * (2 * j + 1) / (2 * wanted));
  }
  return anchors;
}

}  // namespace

CaseLags caseLags(std::int64_t tokens) {
  return {std::clamp<std::int64_t>(tokens / 13, 2, 11), std::clamp<std::int64_t>(tokens / 8, 3, 18)};
}

std::int64_t wholePeriods(std::optional<MeasuredPeriod> period, std::int64_t tokens) {
  std::int64_t best = 0;
  double off = 1;
  for (int turns = 1; period && turns <= 4; ++turns) {
    const double exact = turns * period->tokens;
    if (exact < static_cast<double>(tokens) / 3 && std::abs(exact - std::round(exact)) < off) {
      off = std::abs(exact - std::round(exact));
      best = std::llround(exact);
    }
  }
  return best;
}

CaseEvidence evidenceFrom(std::span<const AnchorAgreement> anchors, std::int64_t season,
                          std::optional<MeasuredPeriod> period) {
  Mean columnStep, diagonalStep, columnFirst, diagonalFirst, columnSecond, diagonalSecond, rowsBack, between, echo;
  for (const AnchorAgreement& anchor : anchors) {
    columnStep.add(anchor.columnStep);
    diagonalStep.add(anchor.diagonalStep);
    columnFirst.add(anchor.columnFirst);
    diagonalFirst.add(anchor.diagonalFirst);
    columnSecond.add(anchor.columnSecond);
    diagonalSecond.add(anchor.diagonalSecond);
    rowsBack.add(anchor.season);
    between.add(anchor.between);
    echo.add(anchor.echo);
  }
  CaseEvidence evidence;
  evidence.columnStep = columnStep.clipped();
  evidence.columnLong = std::min(columnFirst.clipped(), columnSecond.clipped());
  evidence.diagonalStep = diagonalStep.clipped();
  evidence.diagonalLong = std::min(diagonalFirst.clipped(), diagonalSecond.clipped());
  evidence.seasonRows = rowsBack.clipped();
  evidence.seasonBetween = between.clipped();
  evidence.season = season;
  evidence.periodStrength = period ? std::min(period->strength, 1.0) : 0;
  evidence.echo = echo.clipped();
  return evidence;
}

CaseEvidence evidenceFromRows(const RowSource& source, std::int64_t tokens, std::int64_t season,
                              std::optional<MeasuredPeriod> period, std::int64_t anchors, const JobControl& control) {
  const CaseLags lags = caseLags(tokens);
  const std::int64_t periods = wholePeriods(period, tokens);
  std::vector<AnchorAgreement> agreements;
  for (const std::int64_t anchor : anchorRows(tokens, std::max({lags.first, lags.second, season}), anchors)) {
    control.checkpoint();
    AnchorRows rows(source, anchor);
    AnchorAgreement& agreement = agreements.emplace_back();
    agreement.columnStep = rows.column(1);
    agreement.diagonalStep = rows.diagonal(1);
    agreement.columnFirst = rows.column(lags.first);
    agreement.diagonalFirst = rows.diagonal(lags.first);
    agreement.columnSecond = rows.column(lags.second);
    agreement.diagonalSecond = rows.diagonal(lags.second);
    if (season > 0) {
      agreement.season = rows.column(season);
      agreement.between = rows.column(season / 2);
    }
    if (periods > 0 && anchor >= 2 * periods) {
      agreement.echo = rows.echo(periods);
    }
  }
  return evidenceFrom(agreements, season, period);
}

}  // namespace headscope
