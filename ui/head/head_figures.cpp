#include "ui/head/head_figures.h"

#include <QCoreApplication>
#include <algorithm>
#include <cmath>
#include <iterator>

#include "ui/style/plot_style.h"

namespace headscope::ui {
namespace {

constexpr Score kMain[] = {Score::QSimilarityConsecutive,
                           Score::QSimilarityKv,
                           Score::SinkMass,
                           Score::PreviousToken,
                           Score::Induction,
                           Score::Entropy,
                           Score::MeanDistance};

QString tr(const char* text) {
  return QCoreApplication::translate("HeadFigures", text);
}

constexpr Extra kRetrieval[] = {Extra::Retrieval, Extra::RetrievalMass, Extra::NeedleRetrieval};

/// Why a head may not have this figure.
QString absence(int metric) {
  if (metric == metricOf(Extra::NeedleRetrieval)) {
    return tr("\n\nNot measured yet: Run > Score retrieval on needle prompts (Ctrl+R).");
  }
  if (metric == metricOf(Extra::Retrieval) || metric == metricOf(Extra::RetrievalMass)) {
    return tr("\n\nNothing in this text is said twice, 5 tokens long and 32 apart.");
  }
  return {};
}

FigureRow figureRow(int metric, const HeadReport& own, const ScoreTable& table) {
  const Metric& known = metrics()[static_cast<std::size_t>(metric)];
  const double value = valueOf(own, metric);
  FigureRow row;
  row.label = known.label;
  row.value = formatValue(value);
  row.tip = known.text + (std::isnan(value) ? absence(metric) : QString());
  row.page = known.page;
  row.topic = known.name;
  if (known.unit == QLatin1String("nats") || known.unit == QLatin1String("tokens")) {
    row.unit = known.unit;
  }
  const std::vector<double> all = table.values(metric);
  if (!all.empty() && !std::isnan(value)) {
    const double low = std::min(all.front(), value), high = std::max(all.back(), value);
    const double span = high > low ? high - low : 1.0;
    for (const double other : all) {
      row.others.push_back(static_cast<float>((other - low) / span));
    }
    row.position = (value - low) / span;
    const auto above = all.end() - std::upper_bound(all.begin(), all.end(), value);
    row.tip += tr("\n\nRank %1 of %2 heads; all heads: %3 … %4")
                   .arg(above + 1)
                   .arg(all.size())
                   .arg(formatValue(all.front()), formatValue(all.back()));
  }
  return row;
}

}  // namespace

int allScoreRows() {
  return static_cast<int>(kScoreCount + std::size(kRetrieval));
}

std::vector<FigureRow> scoreRows(const HeadReport& own, const ScoreTable& table, bool all) {
  std::vector<FigureRow> rows;
  if (all) {
    for (std::size_t i = 0; i < kScoreCount; ++i) {
      rows.push_back(figureRow(metricOf(static_cast<Score>(i)), own, table));
    }
    for (const Extra extra : kRetrieval) {
      rows.push_back(figureRow(metricOf(extra), own, table));
    }
  } else {
    for (const Score score : kMain) {
      rows.push_back(figureRow(metricOf(score), own, table));
    }
  }
  return rows;
}

std::vector<FigureRow> caseRows(const CaseResult& cases, const CaseThresholds& thresholds) {
  std::vector<FigureRow> rows;
  for (std::size_t i = 0; i < kCaseCount; ++i) {
    const Metric& known = metrics()[kScoreCount + i];
    FigureRow row;
    row.label = known.label;
    row.value = formatValue(cases.scores[i]);
    row.page = known.page;
    row.topic = known.name;
    row.bar = true;
    if (static_cast<Case>(i) != Case::Unpredictable) {
      row.threshold = thresholds.predictable;
    }
    row.tip = known.text + tr("\n\nMeasured %1 (bar), predicted from q, k and RoPE %2 (hollow mark)")
                               .arg(formatValue(cases.scores[i]), formatValue(cases.predicted[i]));
    row.position = cases.scores[i];
    row.predicted = cases.predicted[i];
    row.strong = static_cast<std::size_t>(cases.label) == i;
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace headscope::ui
