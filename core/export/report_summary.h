#pragma once

// Reports of one or many documents as one table: means over the documents and how far they spread.

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "core/analysis/report.h"

namespace headscope {

/// Mean and standard deviation over the documents that have the value (divided by their number); NaN without any.
struct Spread {
  double mean = 0, deviation = 0;
  std::int64_t documents = 0;
};

class SpreadSum {
 public:
  void add(double value);  ///< NaN doesn't count
  void add(const std::optional<double>& value);
  Spread result() const;

 private:
  // Welford's running mean and sum of squared deviations.
  std::int64_t count_ = 0;
  double mean_ = 0, squares_ = 0;
};

struct HeadSummary {
  int layer = 0, head = 0, kvHead = 0;
  std::array<Spread, kScoreCount> scores;
  std::optional<std::array<Spread, kMeasureCount>> measures;
  std::array<Spread, kCaseCount> cases;
  Case label = Case::Unpredictable;  ///< of the mean case scores
  Case predictedLabel = Case::Unpredictable;
  std::optional<int> dominantChannel;  ///< in most documents
  Spread predictedPeriod, measuredPeriod, periodStrength;
  Spread retrieval, retrievalMass;  ///< of documents that say something twice
  /// Sums of violations and pairs, mean tightness over all pairs, the largest; none without bounds.
  std::optional<std::array<BoundSummary, kStatementCount>> bounds;
  std::optional<std::int64_t> season;  ///< of Theorem 5.4; with one document only
};

struct LayerSummary {
  int layer = 0;
  std::array<Spread, kScoreCount> scores;
  std::optional<std::array<Spread, kMeasureCount>> measures;
  std::optional<Spread> blockInfluence, blockInfluenceResidual;
};

struct ReportSummary {
  std::int64_t documents = 0, tokens = 0;
  bool exact = true;
  std::vector<HeadSummary> heads;  ///< by layer, then head
  std::vector<LayerSummary> layers;
  std::optional<CaseAgreement> agreement;  ///< with one document only
};

/// Adds documents one by one; each must be of the same model and options.
class SummaryBuilder {
 public:
  explicit SummaryBuilder(CaseThresholds thresholds = {}) : thresholds_(thresholds) {}
  void add(const Report& report);
  ReportSummary summary() const;

 private:
  struct HeadSums {
    HeadReport first;  ///< names and options of the head; scores of the first document
    std::array<SpreadSum, kScoreCount> scores;
    std::array<SpreadSum, kMeasureCount> measures;
    std::array<SpreadSum, kCaseCount> cases, predictedCases;
    std::vector<std::int64_t> dominant;  ///< how often, by channel
    SpreadSum predictedPeriod, measuredPeriod, periodStrength;
    SpreadSum retrieval, retrievalMass;
    std::array<BoundSummary, kStatementCount> bounds;
  };
  struct LayerSums {
    int layer = 0;
    bool measured = false;
    std::array<SpreadSum, kScoreCount> scores;
    std::array<SpreadSum, kMeasureCount> measures;
    bool influence = false;
    SpreadSum blockInfluence, blockInfluenceResidual;
  };

  void start(const Report& report);
  static void addHead(HeadSums& sums, const HeadReport& head);
  static void addLayer(LayerSums& sums, const LayerReport& layer);
  HeadSummary headSummary(const HeadSums& sums) const;

  CaseThresholds thresholds_;
  std::int64_t documents_ = 0, tokens_ = 0;
  bool exact_ = true;
  std::vector<HeadSums> heads_;
  std::vector<LayerSums> layers_;
  CaseAgreement agreement_;
};

}  // namespace headscope
