#pragma once

// What the Head panel's rows show, made from scores and cases.

#include <vector>

#include "ui/head/figure_rows.h"
#include "ui/heads/metrics.h"

namespace headscope::ui {

/// The scores of one head; `all`: every score and the retrieval scores, else those that are looked at most. `own` may
/// be of a changed head (interventions) and is shown; its place is among the heads of `table`.
std::vector<FigureRow> scoreRows(const HeadReport& own, const ScoreTable& table, bool all);
/// How many rows `all` has.
int allScoreRows();

/// The five cases, measured as bars and predicted (from q, k and RoPE) as hollow marks; a line where a head begins to
/// count as predictable.
std::vector<FigureRow> caseRows(const CaseResult& cases, const CaseThresholds& thresholds);

}  // namespace headscope::ui
