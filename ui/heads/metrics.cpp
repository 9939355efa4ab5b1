#include "ui/heads/metrics.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace headscope::ui {
namespace {

QString toQString(std::string_view text) {
  return QString::fromUtf8(text.data(), static_cast<qsizetype>(text.size()));
}

Metric fromDefinition(const ScoreDefinition& definition) {
  return {toQString(definition.name),
          toQString(definition.label),
          toQString(definition.unit),
          toQString(definition.text),
          toQString(definition.helpPage),
          definition.low,
          definition.high};
}

std::vector<Metric> collectMetrics() {
  std::vector<Metric> all;
  for (const ScoreDefinition& definition : scoreDefinitions()) {
    all.push_back(fromDefinition(definition));
  }
  for (std::size_t i = 0; i < kCaseCount; ++i) {
    const QString name = QStringLiteral("case_scores.") + toQString(caseKey(static_cast<Case>(i)));
    for (const ScoreDefinition& definition : furtherDefinitions()) {
      if (toQString(definition.name) == name) {
        all.push_back(fromDefinition(definition));
      }
    }
  }
  const auto extra = [&all](const char* name, const QString& label) {
    for (const ScoreDefinition& definition : furtherDefinitions()) {
      if (definition.name == name) {
        all.push_back(fromDefinition(definition));
        all.back().label = label;
      }
    }
  };
  extra("retrieval", QStringLiteral("retrieval, this text"));
  extra("retrieval_mass", QStringLiteral("retrieval mass, this text"));
  extra("needle_retrieval", QStringLiteral("retrieval, needle prompts"));
  extra("bounds.prop_4_1", QStringLiteral("tightness 4.1"));
  extra("bounds.thm_5_1", QStringLiteral("tightness 5.1"));
  extra("bounds.thm_5_2", QStringLiteral("tightness 5.2"));
  extra("bounds.thm_5_3", QStringLiteral("tightness 5.3"));
  extra("bounds.thm_5_4", QStringLiteral("tightness 5.4"));
  return all;
}

const std::vector<std::pair<QString, int>>& shortForms() {
  static const std::vector<std::pair<QString, int>> forms{
      {QStringLiteral("qsim"), metricOf(Score::QSimilarityConsecutive)},
      {QStringLiteral("qsimrope"), metricOf(Score::QSimilarityConsecutiveRope)},
      {QStringLiteral("qsimkv"), metricOf(Score::QSimilarityKv)},
      {QStringLiteral("qsimprune"), metricOf(Score::QSimilarityPrune)},
      {QStringLiteral("ksim"), metricOf(Score::KSimilarityConsecutive)},
      {QStringLiteral("distance"), metricOf(Score::MeanDistance)},
      {QStringLiteral("sink"), metricOf(Score::SinkMass)},
      {QStringLiteral("prev"), metricOf(Score::PreviousToken)},
      {QStringLiteral("local"), metricOf(Score::LocalMass)},
      {QStringLiteral("vs"), metricOf(Score::VerticalSlashRecall)},
      {QStringLiteral("slash"), metricOf(Score::VerticalSlashRecall)},
      {QStringLiteral("retrieval"), metricOf(Extra::Retrieval)},
      {QStringLiteral("needle"), metricOf(Extra::NeedleRetrieval)},
      {QStringLiteral("tight41"), metricOf(Extra::Proposition41)},
      {QStringLiteral("tight51"), metricOf(Extra::Theorem51)},
      {QStringLiteral("tight52"), metricOf(Extra::Theorem52)},
      {QStringLiteral("tight53"), metricOf(Extra::Theorem53)},
      {QStringLiteral("tight54"), metricOf(Extra::Theorem54)},
      {QStringLiteral("reaccess"), metricOf(Case::ReAccess)},
      {QStringLiteral("sequential"), metricOf(Case::Sequential)},
      {QStringLiteral("periodic"), metricOf(Case::PeriodicSequential)},
      {QStringLiteral("seasonal"), metricOf(Case::Seasonal)},
      {QStringLiteral("unpredictable"), metricOf(Case::Unpredictable)},
  };
  return forms;
}

QString bare(const QString& word) {
  QString letters;
  for (const QChar c : word.toLower()) {
    if (c.isLetterOrNumber()) {
      letters += c;
    }
  }
  return letters;
}

}  // namespace

const std::vector<Metric>& metrics() {
  static const std::vector<Metric> all = collectMetrics();
  return all;
}

std::optional<int> findMetric(const QString& word) {
  const QString wanted = bare(word);
  if (wanted.isEmpty()) {
    return std::nullopt;
  }
  for (const auto& [form, metric] : shortForms()) {
    if (form == wanted) {
      return metric;
    }
  }
  std::optional<int> found;
  for (std::size_t i = 0; i < metrics().size(); ++i) {
    const QString name = bare(metrics()[i].name);
    if (name == wanted) {
      return static_cast<int>(i);
    }
    if (name.startsWith(wanted)) {
      if (found) {
        return std::nullopt;
      }
      found = static_cast<int>(i);
    }
  }
  return found;
}

QString caseName(Case value) {
  switch (value) {
    case Case::ReAccess:
      return QStringLiteral("re-access");
    case Case::Sequential:
      return QStringLiteral("sequential");
    case Case::PeriodicSequential:
      return QStringLiteral("periodic sequential");
    case Case::Seasonal:
      return QStringLiteral("seasonal");
    case Case::Unpredictable:
      return QStringLiteral("unpredictable");
  }
  return {};
}

ScoreTable::ScoreTable(std::shared_ptr<const Report> report) : report_(std::move(report)) {
  if (!report_) {
    return;
  }
  for (const LayerReport& layer : report_->layers) {
    if (layer.layer < 0) {
      continue;
    }
    byLayer_.resize(std::max(byLayer_.size(), static_cast<std::size_t>(layer.layer) + 1));
    auto& row = byLayer_[static_cast<std::size_t>(layer.layer)];
    for (const HeadReport& head : layer.heads) {
      row.resize(std::max(row.size(), static_cast<std::size_t>(head.head) + 1), nullptr);
      row[static_cast<std::size_t>(head.head)] = &head;
      heads_.push_back(&head);
    }
  }
}

const HeadReport* ScoreTable::find(HeadId head) const {
  if (head.layer < 0 || static_cast<std::size_t>(head.layer) >= byLayer_.size()) {
    return nullptr;
  }
  const auto& row = byLayer_[static_cast<std::size_t>(head.layer)];
  return head.head >= 0 && static_cast<std::size_t>(head.head) < row.size() ? row[static_cast<std::size_t>(head.head)]
                                                                            : nullptr;
}

double valueOf(const HeadReport& report, int metric) {
  constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  const auto index = static_cast<std::size_t>(metric);
  if (metric < metricOf(Case{})) {
    return report.scores.values[index];
  }
  if (metric < metricOf(Extra{})) {
    return report.cases.scores[index - kScoreCount];
  }
  const auto extra = static_cast<Extra>(metric - metricOf(Extra{}));
  switch (extra) {
    case Extra::Retrieval:
      return report.retrieval ? report.retrieval->copied : kNone;
    case Extra::RetrievalMass:
      return report.retrieval ? report.retrieval->mass : kNone;
    case Extra::NeedleRetrieval:
      return report.needleRetrieval.value_or(kNone);
    default: {
      const auto statement = static_cast<std::size_t>(extra) - static_cast<std::size_t>(Extra::Proposition41);
      return report.bounds ? report.bounds->summaries[statement].tightnessMean.value_or(kNone) : kNone;
    }
  }
}

double ScoreTable::value(HeadId head, int metric) const {
  const HeadReport* report = find(head);
  return report == nullptr ? std::numeric_limits<double>::quiet_NaN() : valueOf(*report, metric);
}

std::vector<double> ScoreTable::values(int metric) const {
  std::vector<double> all;
  for (const HeadReport* head : heads_) {
    const double value = valueOf(*head, metric);
    if (!std::isnan(value)) {
      all.push_back(value);
    }
  }
  std::sort(all.begin(), all.end());
  return all;
}

std::pair<double, double> ScoreTable::range(int metric) const {
  const Metric& known = metrics()[static_cast<std::size_t>(metric)];
  if (known.low >= 0 && std::isfinite(known.high)) {
    return {known.low, known.high};
  }
  // Cosines of real heads crowd near 1, entropies and distances have no end: the data's own span shows the difference.
  const std::vector<double> all = values(metric);
  if (all.empty()) {
    return {std::max(known.low, 0.0), 1.0};
  }
  return {all.front(), all.back() > all.front() ? all.back() : all.front() + 1e-6};
}

std::optional<double> ScoreTable::place(double value, int metric) const {
  const std::vector<double> all = values(metric);
  if (all.size() < 2 || std::isnan(value)) {
    return std::nullopt;
  }
  const auto below = std::lower_bound(all.begin(), all.end(), value) - all.begin();
  return static_cast<double>(std::min<std::ptrdiff_t>(below, static_cast<std::ptrdiff_t>(all.size()) - 1)) /
         static_cast<double>(all.size() - 1);
}

}  // namespace headscope::ui
