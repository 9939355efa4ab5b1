#include "core/analysis/bounds.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "core/analysis/bound_factors.h"
#include "core/analysis/logit_rows.h"
#include "core/analysis/q_similarity.h"
#include "core/analysis/rope_lens.h"

namespace headscope {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

/// Running totals of one statement.
class BoundTally {
 public:
  void addRow(const RowTightness& row, const double* a, const double* b, const double* bound, std::int64_t n) {
    summary_.pairs += row.pairs;
    ratioSum_ += row.ratioSum;
    ratioMax_ = std::max(ratioMax_, row.ratioMax);
    boundMax_ = std::max(boundMax_, row.boundMax);
    if (row.excessMax > allowance()) {
      for (std::int64_t i = 0; i < n; ++i) {
        addExcess(std::abs(a[i] - b[i]) - bound[i]);
      }
    }
  }

  /// One step of a lower bound.
  void addStep(double measured, double bound) {
    boundMax_ = std::max(boundMax_, bound);
    if (bound > 0) {
      ++summary_.pairs;
      const double ratio = bound / measured;
      ratioSum_ += ratio;
      ratioMax_ = std::max(ratioMax_, ratio);
    }
    addExcess(bound - measured);
  }

  BoundSummary summary() const {
    BoundSummary summary = summary_;
    summary.violations =
        std::count_if(excesses_.begin(), excesses_.end(), [this](double excess) { return excess > allowance(); });
    if (summary.pairs > 0) {
      summary.tightnessMean = ratioSum_ / static_cast<double>(summary.pairs);
      summary.tightnessMax = ratioMax_;
    }
    return summary;
  }

 private:
  double allowance() const { return kBoundRounding * std::max(1.0, boundMax_); }

  // The allowance only grows, so what is within it now will never count.
  void addExcess(double excess) {
    if (excess > allowance()) {
      excesses_.push_back(excess);
    }
  }

  BoundSummary summary_;
  double ratioSum_ = 0, ratioMax_ = 0, boundMax_ = 0;
  std::vector<double> excesses_;
};

/// Where rows of logits and bounds are put while they are compared.
struct Workspace {
  std::int64_t stride = 0;
  std::vector<double> logits, later, bound, change, turn, left;

  void prepare(std::int64_t rows, std::int64_t keys) {
    stride = LogitRows::paddedLength(keys);
    for (std::vector<double>* buffer : {&logits, &later, &bound, &change, &turn}) {
      buffer->resize(static_cast<std::size_t>((rows + 1) * stride));
    }
  }
  const double* row(const std::vector<double>& buffer, std::int64_t r) const { return buffer.data() + r * stride; }
};

class BoundCheck {
 public:
  BoundCheck(const HeadVectors& head, std::int64_t season, std::int64_t period, bool curves)
      : form_(head),
        rows_(head),
        season_(season),
        period_(period),
        columnKeys_(columnKeys(form_)),
        column_(columnFactors(form_, 1, columnKeys_)),
        diagonal_(diagonalFactors(form_)) {
    if (period_ > 0) {
      periodic_ = periodFactors(form_, period_);
    }
    if (season_ > 0) {
      seasonal_ = columnFactors(form_, season_, columnKeys_);
    }
    if (curves) {
      for (BoundCurve& curve : curves_) {
        curve.measured.assign(static_cast<std::size_t>(head.tokens()), kNan);
        curve.bound = curve.measured;
      }
    }
  }

  void addRun(const RowRun& run) {
    for (std::int64_t first = run.first; first < run.first + run.count; first += LogitRows::kBlock) {
      addBlock(first, std::min(LogitRows::kBlock, run.first + run.count - first));
    }
  }

  void finish(BoundReport& report) {
    for (std::size_t s = 0; s < kStatementCount; ++s) {
      report.summaries[s] = tallies_[s].summary();
    }
    report.curves = std::move(curves_);
  }

 private:
  std::int64_t tokens() const { return form_.tokens(); }
  double scale() const { return form_.head().frame->spec.scale; }

  void addBlock(std::int64_t first, std::int64_t count) {
    const std::int64_t withNext = std::min(count + 1, tokens() - first);
    const std::int64_t keys = first + withNext;
    work_.prepare(count, keys);
    rows_.logits(first, withNext, keys, work_.logits.data(), work_.stride);
    const std::int64_t steps = std::min(count, tokens() - 1 - first);  // rows that have a next row
    addColumns(first, steps, keys);
    addDiagonals(first, steps, keys);
    addPeriods(first, count, keys);
    addSeasons(first, std::min(count, tokens() - season_ - first), keys);
  }

  void bounds(const BoundFactors& factors, std::int64_t first, std::int64_t count, std::int64_t keys) {
    work_.left.resize(static_cast<std::size_t>(count * factors.width));
    for (std::int64_t r = 0; r < count; ++r) {
      factors.left(first + r, work_.left.data() + r * factors.width);
    }
    factors.right->products(work_.left.data(), count, 0, keys, scale(), work_.bound.data(), work_.stride);
  }

  RowTightness compare(Statement statement, std::int64_t t, const double* a, const double* b, const double* bound,
                       std::int64_t n) {
    const RowTightness row = rowKernels().tightness(a, b, bound, n);
    tallies_[static_cast<std::size_t>(statement)].addRow(row, a, b, bound, n);
    setCurve(statement, t, row.measuredMax, row.boundMax);
    return row;
  }

  void setCurve(Statement statement, std::int64_t t, double measured, double bound) {
    BoundCurve& curve = curves_[static_cast<std::size_t>(statement)];
    if (!curve.measured.empty()) {
      curve.measured[static_cast<std::size_t>(t)] = measured;
      curve.bound[static_cast<std::size_t>(t)] = bound;
    }
  }

  /// Theorem 5.1, and Proposition 4.1, whose left side is the largest change that 5.1 measures.
  void addColumns(std::int64_t first, std::int64_t steps, std::int64_t keys) {
    if (steps <= 0) {
      return;
    }
    bounds(column_, first, steps, keys);
    const PackedRows& packed = form_.packedKeys();
    const StepVectors vectors = stepVectors(form_, first, steps);
    packed.products(vectors.change.data(), steps, 0, keys, scale(), work_.change.data(), work_.stride);
    packed.products(vectors.turn.data(), steps, 0, keys, scale(), work_.turn.data(), work_.stride);
    for (std::int64_t r = 0; r < steps; ++r) {
      const std::int64_t n = first + r + 1;
      const double measured = compare(Statement::Theorem51, first + r, work_.row(work_.logits, r + 1),
                                      work_.row(work_.logits, r), work_.row(work_.bound, r), n)
                                  .measuredMax;
      const double bound = rowKernels().absoluteMaximum(work_.row(work_.change, r), n) -
                           rowKernels().absoluteMaximum(work_.row(work_.turn, r), n);
      tallies_[static_cast<std::size_t>(Statement::Proposition41)].addStep(measured, bound);
      setCurve(Statement::Proposition41, first + r, measured, bound);
    }
  }

  void addDiagonals(std::int64_t first, std::int64_t steps, std::int64_t keys) {
    if (steps <= 0) {
      return;
    }
    bounds(diagonal_, first, steps, keys);
    for (std::int64_t r = 0; r < steps; ++r) {
      compare(Statement::Theorem52, first + r, work_.row(work_.logits, r + 1) + 1, work_.row(work_.logits, r),
              work_.row(work_.bound, r), first + r + 1);
    }
  }

  void addPeriods(std::int64_t first, std::int64_t count, std::int64_t keys) {
    if (period_ <= 0 || first + count <= period_) {
      return;
    }
    bounds(periodic_, first, count, keys);
    for (std::int64_t r = std::max<std::int64_t>(0, period_ - first); r < count; ++r) {
      const double* a = work_.row(work_.logits, r);
      compare(Statement::Theorem53, first + r, a, a + period_, work_.row(work_.bound, r) + period_,
              first + r + 1 - period_);
    }
  }

  void addSeasons(std::int64_t first, std::int64_t count, std::int64_t keys) {
    if (season_ <= 0 || count <= 0) {
      return;
    }
    rows_.logits(first + season_, count, keys, work_.later.data(), work_.stride);
    bounds(seasonal_, first, count, keys);
    for (std::int64_t r = 0; r < count; ++r) {
      compare(Statement::Theorem54, first + r, work_.row(work_.later, r), work_.row(work_.logits, r),
              work_.row(work_.bound, r), first + r + 1);
    }
  }

  RotatedForm form_;
  LogitRows rows_;
  std::int64_t season_, period_;
  std::shared_ptr<const PackedRows> columnKeys_;
  BoundFactors column_, diagonal_, periodic_, seasonal_;
  Workspace work_;
  std::array<BoundTally, kStatementCount> tallies_;
  std::array<BoundCurve, kStatementCount> curves_;
};

/// P = round(2π / θ_{m*}), 0 if it doesn't fit into the text.
std::int64_t diagonalPeriod(const HeadVectors& head) {
  const std::optional<double> period = ropeSpectrum(head).predictedPeriod;
  if (!period || *period >= static_cast<double>(head.tokens())) {
    return 0;
  }
  return std::llround(*period);
}

}  // namespace

std::string_view statementKey(Statement statement) {
  constexpr std::array<std::string_view, kStatementCount> kKeys{"prop_4_1", "thm_5_1", "thm_5_2", "thm_5_3", "thm_5_4"};
  return kKeys[static_cast<std::size_t>(statement)];
}

std::string_view statementTitle(Statement statement) {
  constexpr std::array<std::string_view, kStatementCount> kTitles{
      "Proposition 4.1: a step of the query moves the logits", "Theorem 5.1: columns stay",
      "Theorem 5.2: diagonals stay", "Theorem 5.3: diagonals repeat", "Theorem 5.4: rows come back"};
  return kTitles[static_cast<std::size_t>(statement)];
}

std::int64_t bestSeason(const HeadVectors& head, std::int64_t lastTokens) {
  const RowsView queries = queriesBeforeRope(head);
  const std::int64_t count = lastTokens > 0 ? std::min(lastTokens, queries.rows) : queries.rows;
  const std::vector<double> similarity = cosineByLag(queries.slice(queries.rows - count, count));
  const auto lags = static_cast<std::int64_t>(similarity.size());
  if (lags < 3) {
    return 0;
  }
  const std::int64_t longest = std::min(lags - 1, std::max<std::int64_t>(2, lags / 4));
  return std::max_element(similarity.begin() + 2, similarity.begin() + longest + 1) - similarity.begin();
}

BoundReport checkBounds(const HeadVectors& head, const BoundOptions& options, const JobControl& control) {
  BoundReport report;
  report.exact = options.sample.exact(head.tokens());
  report.diagonalPeriod = diagonalPeriod(head);
  const std::int64_t season = options.season ? *options.season : bestSeason(head);
  report.season = season > 0 && season < head.tokens() ? season : 0;
  BoundCheck check(head, report.season, report.diagonalPeriod, options.curves);
  for (const RowRun& run : rowRuns(head.tokens(), options.sample.rows)) {
    control.checkpoint();
    check.addRun(run);
  }
  check.finish(report);
  return report;
}

}  // namespace headscope
