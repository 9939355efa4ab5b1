#include "core/analysis/device/device_report.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>

#include "core/analysis/case_evidence.h"
#include "core/analysis/device/head_batch.h"
#include "core/analysis/device/head_layout.h"
#include "core/analysis/report_parts.h"
#include "core/base/error.h"
#include "core/base/parallel.h"
#include "core/gpu/cuda_runtime.h"

namespace headscope::device {
namespace {

/// One head's rows of a batch's figures.
class HeadFigures {
 public:
  HeadFigures(const BatchFigures& batch, std::size_t head) : batch_(batch), head_(head) {}

  double figure(Figure figure) const { return batch_.figures[head_ * kFigures + figure]; }
  std::optional<double> positive(Figure column) const {
    const double value = figure(column);
    return value > 0 ? std::optional(value) : std::nullopt;
  }
  double rowSum(RowScore score) const { return batch_.rowScores[head_ * kRowScores + score]; }
  double retrieval(std::size_t which) const { return batch_.retrieval[head_ * 2 + which]; }
  double total(std::size_t statement, Total column) const {
    return batch_.totals[(head_ * kStatements + statement) * kTotals + column];
  }
  std::vector<AnchorAgreement> agreements(bool predicted) const {
    const std::vector<double>& values = predicted ? batch_.predicted : batch_.measured;
    const std::size_t heads = batch_.figures.size() / kFigures, anchors = values.size() / heads / kAgreements;
    const bool season = figure(kProminentLag) > 0;
    std::vector<AnchorAgreement> all;
    for (std::size_t j = 0; j < anchors; ++j) {
      const double* value = values.data() + (head_ * anchors + j) * kAgreements;
      if (value[kAgreeHasAnchor] == 0) {
        continue;
      }
      AnchorAgreement& anchor = all.emplace_back();
      anchor.columnStep = value[kAgreeColumnStep];
      anchor.diagonalStep = value[kAgreeDiagonalStep];
      anchor.columnFirst = value[kAgreeColumnFirst];
      anchor.diagonalFirst = value[kAgreeDiagonalFirst];
      anchor.columnSecond = value[kAgreeColumnSecond];
      anchor.diagonalSecond = value[kAgreeDiagonalSecond];
      if (season) {
        anchor.season = value[kAgreeSeason];
        anchor.between = value[kAgreeBetween];
      }
      if (value[kAgreeHasEcho] != 0) {
        anchor.echo = value[kAgreeEcho];
      }
    }
    return all;
  }

 private:
  const BatchFigures& batch_;
  std::size_t head_;
};

std::optional<MeasuredPeriod> periodOf(const HeadFigures& head, Figure tokens, Figure strength) {
  const auto period = head.positive(tokens);
  return period ? std::optional(MeasuredPeriod{*period, head.figure(strength)}) : std::nullopt;
}

void fillScores(const HeadFigures& head, const BatchText& text, HeadScores& scores) {
  scores[Score::QSimilarityConsecutive] = head.figure(kQueryConsecutive);
  scores[Score::QSimilarityConsecutiveRope] = head.figure(kQueryConsecutiveDot);
  scores[Score::QSimilarityKv] = head.figure(kQueryKv);
  scores[Score::QSimilarityPrune] = head.figure(kQueryPrune);
  scores[Score::KSimilarityConsecutive] = head.figure(kKeyConsecutive);
  const auto rows = static_cast<double>(text.rows.size());
  const std::pair<Score, RowScore> means[] = {
      {Score::Entropy, kRowEntropy},           {Score::SinkMass, kRowSink},
      {Score::PreviousToken, kRowPrevious},    {Score::SelfMass, kRowSelf},
      {Score::LocalMass, kRowLocal},           {Score::MeanDistance, kRowDistance},
      {Score::VerticalSlashRecall, kRowRecall}};
  for (const auto& [score, sum] : means) {
    scores[score] = head.rowSum(sum) / rows;
  }
  if (text.repeated > 0) {
    scores[Score::DuplicateToken] = head.rowSum(kRowDuplicate) / static_cast<double>(text.repeated);
    scores[Score::Induction] = head.rowSum(kRowInduction) / static_cast<double>(text.repeated);
  }
}

/// Whether a measured value exceeds its bound beyond rounding somewhere: which pairs do, the processor counts.
bool violated(const HeadFigures& head) {
  for (std::size_t s = 0; s < kStatementCount; ++s) {
    if (head.total(s, kExcessMax) > kBoundRounding * std::max(1.0, head.total(s, kBoundMax))) {
      return true;
    }
  }
  return false;
}

BoundReport boundsOf(const HeadFigures& head, bool exact) {
  BoundReport report;
  report.exact = exact;
  report.season = static_cast<std::int64_t>(head.figure(kSeason));
  report.diagonalPeriod = static_cast<std::int64_t>(head.figure(kDiagonalPeriod));
  for (std::size_t s = 0; s < kStatementCount; ++s) {
    BoundSummary& summary = report.summaries[s];
    summary.pairs = std::llround(head.total(s, kPairs));
    if (summary.pairs > 0) {
      summary.tightnessMean = head.total(s, kRatioSum) / static_cast<double>(summary.pairs);
      summary.tightnessMax = head.total(s, kRatioMax);
    }
  }
  return report;
}

HeadReport reportOf(const HeadFigures& head, const BatchText& text, const AnalysisOptions& options) {
  HeadReport report;
  fillScores(head, text, report.scores);
  if (text.needle) {
    const auto rows = static_cast<double>(text.answerRows.size());
    report.retrieval = RetrievalScore{head.retrieval(0) / rows, head.retrieval(1) / rows, *text.needle};
  }
  if (head.figure(kDominantChannel) >= 0) {
    report.dominantChannel = static_cast<int>(head.figure(kDominantChannel));
    report.dominance = head.positive(kDominance);
    report.period.predicted = head.positive(kPredictedPeriod);
  }
  const auto measured = periodOf(head, kMeasuredPeriod, kMeasuredStrength);
  if (measured) {
    report.period.measured = measured->tokens;
    report.period.strength = measured->strength;
  }
  if (options.cases) {
    const auto season = static_cast<std::int64_t>(head.figure(kProminentLag));
    report.cases.predictedEvidence =
        evidenceFrom(head.agreements(true), season, periodOf(head, kExpectedPeriod, kExpectedStrength));
    report.cases.evidence = evidenceFrom(head.agreements(false), season, measured);
    applyThresholds(report.cases, options.caseOptions.thresholds);
  }
  return report;
}

/// Layers that one batch can take together.
bool alike(const Capture& capture, int a, int b) {
  const CaptureLayer &x = capture.layer(a), &y = capture.layer(b);
  const Rope *ropeX = capture.rope(a), *ropeY = capture.rope(b);
  const bool sameRope = ropeX == ropeY || (ropeX != nullptr && ropeY != nullptr && *ropeX == *ropeY);
  AttentionSpec specX = capture.attention(a), specY = capture.attention(b);
  specX.rope = specY.rope = std::nullopt;  // an index
  return sameRope && specX == specY && x.heads == y.heads && x.kvHeads == y.kvHeads && x.dim == y.dim &&
         x.q.front().type == y.q.front().type && x.k.front().type == y.k.front().type &&
         x.lse.empty() == y.lse.empty() && x.sinks.empty() == y.sinks.empty();
}

std::vector<std::vector<int>> groupsOf(const Capture& capture, const std::vector<int>& layers) {
  std::vector<std::vector<int>> groups;
  for (const int layer : layers) {
    const auto found = std::find_if(groups.begin(), groups.end(), [&](const std::vector<int>& group) {
      return alike(capture, group.front(), layer);
    });
    (found != groups.end() ? *found : groups.emplace_back()).push_back(layer);
  }
  return groups;
}

/// The analysis on one device.
class DeviceAnalysis {
 public:
  DeviceAnalysis(HeadProgram& program, const Capture& capture, const AnalysisOptions& options,
                 const JobControl& control)
      : program_(program), capture_(capture), options_(options), control_(control), text_(capture, options) {}

  void add(const std::vector<int>& layers, Outcome& outcome) {
    for (const int layer : layers) {
      heads_ += capture_.layer(layer).heads;
    }
    control_.checkpoint("analysis", 0, heads_);
    for (const std::vector<int>& group : groupsOf(capture_, layers)) {
      BatchRequest request{capture_, text_, options_, group, onDevice(group.front())};
      auto atOnce = static_cast<std::size_t>(std::max(1.0, kBatchBytes / layerBytes(request)));
      for (std::size_t first = 0; first < group.size();) {
        const std::size_t count = std::min(atOnce, group.size() - first);
        request.layers.assign(group.begin() + static_cast<std::ptrdiff_t>(first),
                              group.begin() + static_cast<std::ptrdiff_t>(first + count));
        try {
          finish(request, computeBatch(program_, request, control_), outcome);
        } catch (const Error& error) {
          if (error.kind() != ErrorKind::Memory || count == 1) {
            throw;
          }
          atOnce = (count + 1) / 2;
          continue;
        }
        first += count;
      }
    }
  }

 private:
  /// Whether the layer's bounds are those of RoPE alone.
  bool onDevice(int layer) const {
    return options_.bounds && text_.evenly && capture_.attention(layer).postRope.empty();
  }

  void finish(const BatchRequest& request, const BatchFigures& figures, Outcome& outcome) {
    const bool exactBounds = options_.boundRows().exact(capture_.tokens());
    std::size_t at = 0;
    for (const int index : request.layers) {
      const CaptureLayer& data = capture_.layer(index);
      LayerReport layer;
      layer.layer = index;
      layer.heads.resize(static_cast<std::size_t>(data.heads));
      std::vector<char> boundsMissing(layer.heads.size(), options_.bounds ? 1 : 0);
      for (std::size_t h = 0; h < layer.heads.size(); ++h, ++at) {
        const HeadFigures head(figures, at);
        HeadReport& report = layer.heads[h] = reportOf(head, text_, options_);
        report.layer = index;
        report.head = static_cast<int>(h);
        report.kvHead = data.kvHead(report.head);
        if (request.bounds && !violated(head)) {
          report.bounds = boundsOf(head, exactBounds);
          boundsMissing[h] = 0;
        }
      }
      onProcessor(layer, boundsMissing);
      done_ += data.heads;
      control_.checkpoint("analysis", done_, heads_);
      fillMeans(layer);
      if (options_.onLayer) {
        options_.onLayer(layer);
      }
      outcome.layers.push_back(std::move(layer));
    }
  }

  /// What no kernel computes.
  void onProcessor(LayerReport& layer, const std::vector<char>& boundsMissing) {
    const bool bounds = std::find(boundsMissing.begin(), boundsMissing.end(), 1) != boundsMissing.end();
    if (!bounds && !options_.measures) {
      return;
    }
    const CaptureLayer& data = capture_.layer(layer.layer);
    const int group = data.heads / data.kvHeads;
    const auto frame = std::make_shared<const LayerFrame>(makeLayerFrame(capture_, layer.layer, {}, &rotation_));
    runJobs(data.kvHeads, options_.threads, control_, [&](std::int64_t kvHead, const JobControl& control) {
      const auto keys = makeKeyVectors(capture_, *frame, static_cast<int>(kvHead));
      for (int head = static_cast<int>(kvHead) * group; head < (static_cast<int>(kvHead) + 1) * group; ++head) {
        const auto h = static_cast<std::size_t>(head);
        if (boundsMissing[h] == 0 && !options_.measures) {
          continue;
        }
        const HeadVectors vectors = makeHeadVectors(capture_, frame, head, keys);
        if (options_.measures) {
          layer.heads[h].measures = allMeasures(queriesBeforeRope(vectors));
        }
        if (boundsMissing[h] != 0) {
          layer.heads[h].bounds = reportBounds(vectors, options_, control);
        }
      }
    });
  }

  HeadProgram& program_;
  const Capture& capture_;
  const AnalysisOptions& options_;
  const JobControl& control_;
  BatchText text_;
  std::shared_ptr<const RotationTable> rotation_;
  std::int64_t heads_ = 0, done_ = 0;
};

/// Of the first GPU that a device's name means; null, without a reason, where that is none.
std::shared_ptr<HeadProgram> programOf(const std::string& device, std::string& reason) {
  const std::vector<GpuInfo> gpus = namedGpus(device);
  return gpus.empty() ? nullptr : HeadProgram::open(gpus.front().index, reason);
}

}  // namespace

Outcome analyzeLayers(HeadProgram& program, const Capture& capture, const std::vector<int>& layers,
                      const AnalysisOptions& options, const JobControl& control) {
  Outcome outcome;
  if (capture.tokens() < kFewestTokens || layers.empty()) {
    return outcome;
  }
  outcome.device = program.gpu() < 0 ? "cpu" : concat("cuda:", program.gpu());
  try {
    DeviceAnalysis(program, capture, options, control).add(layers, outcome);
  } catch (const Error& error) {
    outcome.note = concat(error.problem(), "; ", layers.size() - outcome.layers.size(), " of ", layers.size(),
                          " layers were scored on the processor");
    outcome.device = outcome.layers.empty() ? "cpu" : outcome.device;
  }
  return outcome;
}

Outcome analyzeLayers(const Capture& capture, const std::vector<int>& layers, const AnalysisOptions& options,
                      const JobControl& control) {
  std::string reason;
  const auto program = programOf(options.device, reason);
  if (!program) {
    Outcome outcome;
    outcome.note = reason.empty() ? std::string() : concat("heads are scored on the processor: ", reason);
    return outcome;
  }
  return analyzeLayers(*program, capture, layers, options, control);
}

}  // namespace headscope::device

void headscope::prepareScoring(const std::string& device, FloatType type) {
  try {
    std::string reason;
    if (const auto program = device::programOf(device, reason)) {
      program->prepare(device::typeCode(type));
    }
  } catch (const Error&) {  // said when it is needed
  }
}
