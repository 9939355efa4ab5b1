#pragma once

// The front door of this room: everything about all heads of a capture (for tables, the wall of heads, `analyze`),
// layer by layer as results come, and everything about one head (for the panel beside the map, `rope`).

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/analysis/bounds.h"
#include "core/analysis/cases.h"
#include "core/analysis/head_scores.h"
#include "core/analysis/needle_prompt.h"
#include "core/analysis/q_similarity.h"
#include "core/analysis/retrieval.h"
#include "core/analysis/rope_lens.h"
#include "core/base/job_control.h"
#include "core/capture/capture.h"

namespace headscope {

/// Period of the diagonals, for the JSON object `period`.
struct Period {
  std::optional<double> predicted, measured;  ///< tokens
  double strength = 0;                        ///< of the measured one; 0 if there is none
};

struct HeadReport {
  int layer = 0, head = 0, kvHead = 0;
  HeadScores scores;
  std::optional<MeasureScores> measures;  ///< with AnalysisOptions::measures
  CaseResult cases;
  std::optional<int> dominantChannel;
  std::optional<double> dominance;
  Period period;
  std::optional<BoundReport> bounds;        ///< without curves; with AnalysisOptions::bounds
  std::optional<RetrievalScore> retrieval;  ///< where the text says something twice (a needle prompt)
  std::optional<double> needleRetrieval;    ///< of needle prompts run besides (needle_prompt.h): setNeedleScores()
};

struct LayerReport {
  int layer = 0;
  std::vector<HeadReport> heads;
  HeadScores means;                              ///< over the heads that have the score
  std::optional<MeasureScores> measures;         ///< means over heads
  std::optional<double> blockInfluence;          ///< published: the last layer against the final norm's output
  std::optional<double> blockInfluenceResidual;  ///< the true residual stream in every layer
};

struct AnalysisOptions {
  int threads = 0;                       ///< 0: all cores
  RowSample sample;                      ///< of the row-wise scores; default exact
  std::optional<RowSample> boundSample;  ///< of the bounds; default: as `sample`
  std::int64_t lagTokens = 0;            ///< period, season and prediction from the last so many tokens; 0: all, exact
  bool bounds = true;
  bool measures = false;  ///< the eight measures
  bool cases = true;
  std::optional<std::int64_t> season;  ///< of Theorem 5.4; default: the best per head
  CaseOptions caseOptions;
  VerticalSlashRule verticalSlash;
  std::vector<int> layers;  ///< empty: all that are ready
  /// Where heads are scored, as ModelOptions::device (core/model): "cpu", "cuda", "cuda:1", or "auto", the first GPU if
  /// there is one. The figures are those of the processor but for rounding, in double on both. What a GPU doesn't do
  /// (the eight measures, bounds beyond RoPE alone at even positions, texts of fewer than 64 tokens) and what doesn't
  /// fit into its memory is done on the processor.
  std::string device = "cpu";
  /// Called as soon as a layer is complete, from one of the working threads, never two at a time; layers come in any
  /// order.
  std::function<void(const LayerReport&)> onLayer;

  RowSample boundRows() const { return boundSample.value_or(sample); }
};

/// What the window shows first: rows sampled evenly, fewer places for the cases, periods and seasons from the end of
/// the text. Similarities and spectra stay exact.
AnalysisOptions estimateOptions();

/// How well prediction (q, k, RoPE) and measurement (attention) agree over all heads: Spearman's rank correlation.
struct CaseAgreement {
  std::array<std::optional<double>, kCaseCount> rankCorrelation;  ///< none where one side is constant
  std::int64_t heads = 0;
  std::int64_t sameLabel = 0;
};

struct Report {
  std::vector<LayerReport> layers;  ///< in the order of the options
  bool exact = true;                ///< false: row-wise scores and bounds are estimates from sampled rows
  std::int64_t tokens = 0;
  CaseAgreement agreement;  ///< if cases were asked for
  double seconds = 0;
  std::string device = "cpu";  ///< where most of it was computed
  std::string note;            ///< why (some of) it was not computed on the device that was asked for; mostly empty
};

/// Progress counts heads: stage "analysis". Throws Cancelled, or Error naming what is wrong.
Report analyzeCapture(const Capture& capture, const AnalysisOptions& options = {}, const JobControl& control = {});

/// Makes a device ready to score captures of a type: its program takes seconds to compile the first time on a machine.
/// For a thread of its own, beside other preparations; where it can't be done, analyzeCapture() says why.
void prepareScoring(const std::string& device, FloatType type);

/// Values of block influence (block_influence.h), one a layer, put into the report.
void setBlockInfluence(Report& report, const std::vector<double>& published, const std::vector<double>& residual);

/// Scores, labels and agreement under other thresholds, from the evidence that the report keeps. Heads without cases
/// (CaseOptions not asked for) stay as they are.
void applyThresholds(Report& report, const CaseThresholds& thresholds);

/// Means over needle prompts put into the report; heads that `scores` doesn't have lose theirs.
void setNeedleScores(Report& report, const NeedleScores& scores);

/// Name → one line with unit, for every figure in a report: the JSON object `definitions`.
std::vector<std::pair<std::string, std::string>> reportDefinitions(const AnalysisOptions& options);

/// Curves over time of one head: `analyze --series`, the margins of the map.
enum class Series { QSimilarityConsecutive, QSimilarityConsecutiveRope, KSimilarityConsecutive };
std::optional<Series> seriesFromName(std::string_view name);
std::vector<double> series(const HeadVectors& head, Series series);  ///< [tokens − 1]

/// Everything about one head, for the panel beside the map and its margins.
struct HeadDetail {
  int layer = 0, head = 0, kvHead = 0;
  Interventions interventions;
  RopeLens lens;
  HeadScores scores;
  CaseResult cases;
  BoundReport bounds;                                             ///< with curves
  std::vector<double> qSimilarity, qSimilarityRope, kSimilarity;  ///< [tokens − 1] consecutive cosines
  /// [tokens] at t the KV setting of a prompt that ends at t; NaN at 0.
  std::vector<double> qSimilarityKv;
  RowCurves rows;                           ///< entropy over time, mass received by key
  std::optional<RetrievalScore> retrieval;  ///< where the text says something twice
  bool exact = true;
};

/// Parts in the order in which the panel can show them; each comes with the whole detail so far.
enum class DetailPart { Lens, Similarity, Attention, Cases, Bounds };

struct DetailOptions {
  Interventions interventions;
  RowSample sample;                      ///< of the attention rows
  std::optional<RowSample> boundSample;  ///< of the bounds; default: as `sample`
  bool attention = true, cases = true, bounds = true;
  std::optional<std::int64_t> season;
  CaseOptions caseOptions;
  VerticalSlashRule verticalSlash;
  std::function<void(DetailPart, const HeadDetail&)> onPart;  ///< from the calling thread
};

HeadDetail analyzeHead(const Capture& capture, int layer, int head, const DetailOptions& options = {},
                       const JobControl& control = {});

}  // namespace headscope
