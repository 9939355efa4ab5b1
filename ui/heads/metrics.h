#pragma once

// The figures that the wall, the table and the panel can show per head: the scores of core/analysis, the five case
// scores and what some texts add, under the same names as in exports.

#include <QString>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "core/analysis/report.h"
#include "ui/session/session.h"

namespace headscope::ui {

struct Metric {
  QString name;              ///< as in exports: "sink_mass", "case_scores.sequential"
  QString label;             ///< "sink mass"
  QString unit;              ///< "cosine", "nats" …
  QString text;              ///< definition, one line
  QString page;              ///< help page
  double low = 0, high = 1;  ///< range of its scale; high may be infinite: then the data say
};

/// What not every text or model has, and how tight TAPPA's five statements are.
enum class Extra {
  Retrieval,
  RetrievalMass,
  NeedleRetrieval,
  Proposition41,
  Theorem51,
  Theorem52,
  Theorem53,
  Theorem54
};

/// The scores first (indexed by Score), then the cases (indexed by Case), then the extras (indexed by Extra).
const std::vector<Metric>& metrics();
constexpr int metricOf(Score score) {
  return static_cast<int>(score);
}
constexpr int metricOf(Case value) {
  return static_cast<int>(kScoreCount) + static_cast<int>(value);
}
constexpr int metricOf(Extra value) {
  return static_cast<int>(kScoreCount + kCaseCount) + static_cast<int>(value);
}
/// NaN where the head doesn't have it.
double valueOf(const HeadReport& report, int metric);

/// By exported name, a known short form ("sink", "qsim") or a beginning that only one has.
std::optional<int> findMetric(const QString& word);

/// "re-access", "periodic sequential" …: short enough for tables.
QString caseName(Case value);

/// A report by head. Cheap to copy; null reports give NaN everywhere.
class ScoreTable {
 public:
  ScoreTable() = default;
  explicit ScoreTable(std::shared_ptr<const Report> report);

  const HeadReport* find(HeadId head) const;
  double value(HeadId head, int metric) const;  ///< NaN if unknown
  bool empty() const { return heads_.empty(); }
  std::size_t size() const { return heads_.size(); }
  const std::vector<const HeadReport*>& heads() const { return heads_; }
  std::vector<double> values(int metric) const;       ///< of all heads that have it, ascending
  std::pair<double, double> range(int metric) const;  ///< of its colour scale: the metric's own, or the data's
  /// Rank of `value` among all heads, 0 = lowest … 1 = highest; none if nothing compares.
  std::optional<double> place(double value, int metric) const;

 private:
  std::shared_ptr<const Report> report_;
  std::vector<std::vector<const HeadReport*>> byLayer_;
  std::vector<const HeadReport*> heads_;
};

}  // namespace headscope::ui
