#include "core/analysis/report.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <iterator>
#include <map>
#include <mutex>
#include <numeric>

#include "core/analysis/device/device_report.h"
#include "core/analysis/report_parts.h"
#include "core/base/parallel.h"

namespace headscope {
namespace {

constexpr std::int64_t kSpectraBytes = std::int64_t{256} << 20;  ///< the most that is kept of a KV head's transforms

/// What the scores need to know of a text, the same for all heads.
struct AnalysedText {
  explicit AnalysedText(std::span<const std::int64_t> from) : ids(from), earlier(from), needle(findNeedle(from)) {}

  std::span<const std::int64_t> ids;
  EarlierTokens earlier;
  std::optional<NeedleSpan> needle;
};

HeadReport reportHead(const HeadVectors& head, const KeySpectra* keys, const AnalysedText& text,
                      const AnalysisOptions& options, const JobControl& control) {
  HeadReport report;
  report.layer = head.frame->layer;
  report.head = head.head;
  report.kvHead = head.kvHead;
  similarityScores(head, report.scores);
  attentionScores(head, text.earlier, options.sample, options.verticalSlash, report.scores, nullptr, control);
  if (text.needle) {
    report.retrieval = retrievalScore(head, text.ids, *text.needle, control, options.sample);
  }
  if (options.measures) {
    report.measures = allMeasures(queriesBeforeRope(head));
  }
  const RopeLens lens = ropeLens(head, control, keys, options.lagTokens);
  report.dominantChannel = lens.spectrum.dominant;
  report.dominance = lens.spectrum.dominance;
  report.period.predicted = lens.spectrum.predictedPeriod;
  if (lens.measuredPeriod) {
    report.period.measured = lens.measuredPeriod->tokens;
    report.period.strength = lens.measuredPeriod->strength;
  }
  if (options.cases) {
    report.cases = classify(head, lens, options.caseOptions, control);
  }
  if (options.bounds) {
    report.bounds = reportBounds(head, options, control);
  }
  return report;
}

/// The work on a capture: one job per KV head, whose query heads share its keys.
class CaptureAnalysis {
 public:
  CaptureAnalysis(const Capture& capture, const AnalysisOptions& options, const std::vector<int>& layers,
                  const JobControl& control)
      : capture_(capture), options_(options), control_(control), text_(capture.header().ids) {
    states_.resize(layers.size());
    for (std::size_t index = 0; index < layers.size(); ++index) {
      const CaptureLayer& data = capture.layer(layers[index]);
      states_[index].report.layer = layers[index];
      states_[index].report.heads.resize(static_cast<std::size_t>(data.heads));
      states_[index].pending = data.kvHeads;
      for (int kvHead = 0; kvHead < data.kvHeads; ++kvHead) {
        jobs_.emplace_back(index, kvHead);
      }
      heads_ += data.heads;
    }
  }

  std::vector<LayerReport> run() {
    control_.checkpoint("analysis", 0, heads_);
    runJobs(static_cast<std::int64_t>(jobs_.size()), options_.threads, control_,
            [this](std::int64_t job, const JobControl& control) {
              const auto& [index, kvHead] = jobs_[static_cast<std::size_t>(job)];
              runGroup(states_[index], kvHead, control);
            });
    std::vector<LayerReport> layers;
    for (LayerState& state : states_) {
      layers.push_back(std::move(state.report));
    }
    return layers;
  }

 private:
  struct LayerState {
    LayerReport report;
    std::shared_ptr<const LayerFrame> frame;
    int pending = 0;  ///< KV heads that are not done
  };

  std::shared_ptr<const LayerFrame> frameOf(LayerState& state) {
    const std::lock_guard lock(frames_);
    if (!state.frame) {
      state.frame = std::make_shared<const LayerFrame>(makeLayerFrame(capture_, state.report.layer, {}, &rotation_));
    }
    return state.frame;
  }

  /// Memory of a head that is done, if there is any.
  HeadVectors takeSpare() {
    const std::lock_guard lock(results_);
    HeadVectors spare;
    if (!spares_.empty()) {
      spare = std::move(spares_.back());
      spares_.pop_back();
    }
    return spare;
  }

  void runGroup(LayerState& state, int kvHead, const JobControl& control) {
    const auto frame = frameOf(state);
    const CaptureLayer& data = capture_.layer(state.report.layer);
    const auto keys = makeKeyVectors(capture_, *frame, kvHead);
    const int group = data.heads / data.kvHeads;
    const bool share = group > 1 && 32 * frame->tokens * data.dim <= kSpectraBytes;
    std::optional<KeySpectra> spectra;
    for (int head = kvHead * group; head < (kvHead + 1) * group; ++head) {
      control.checkpoint();
      HeadVectors vectors = makeHeadVectors(capture_, frame, head, keys, takeSpare());
      if (share && !spectra) {
        spectra = keySpectra(vectors, options_.lagTokens);
      }
      state.report.heads[static_cast<std::size_t>(head)] =
          reportHead(vectors, spectra ? &*spectra : nullptr, text_, options_, control);
      const std::lock_guard lock(results_);
      vectors.keys.reset();  // only its own memory waits for the next head
      vectors.frame.reset();
      spares_.push_back(std::move(vectors));
      control_.checkpoint("analysis", ++done_, heads_);
    }
    const std::lock_guard lock(results_);
    if (--state.pending == 0) {
      fillMeans(state.report);
      state.frame.reset();
      if (options_.onLayer) {
        options_.onLayer(state.report);
      }
    }
  }

  const Capture& capture_;
  const AnalysisOptions& options_;
  const JobControl& control_;
  AnalysedText text_;
  std::vector<LayerState> states_;
  std::vector<std::pair<std::size_t, int>> jobs_;  ///< index into states_, KV head
  std::mutex frames_, results_;
  std::shared_ptr<const RotationTable> rotation_;
  std::vector<HeadVectors> spares_;
  std::int64_t heads_ = 0, done_ = 0;
};

/// Ranks from 0, ties get their mean rank.
std::vector<double> ranks(const std::vector<double>& values) {
  std::vector<std::size_t> order(values.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&values](std::size_t a, std::size_t b) { return values[a] < values[b]; });
  std::vector<double> rank(values.size());
  for (std::size_t first = 0; first < order.size();) {
    std::size_t last = first + 1;
    while (last < order.size() && values[order[last]] == values[order[first]]) {
      ++last;
    }
    for (std::size_t j = first; j < last; ++j) {
      rank[order[j]] = static_cast<double>(first + last - 1) / 2;
    }
    first = last;
  }
  return rank;
}

std::optional<double> correlation(const std::vector<double>& x, const std::vector<double>& y) {
  const auto mean = [](const std::vector<double>& values) {
    return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
  };
  const double meanX = mean(x), meanY = mean(y);
  double xy = 0, xx = 0, yy = 0;
  for (std::size_t j = 0; j < x.size(); ++j) {
    xy += (x[j] - meanX) * (y[j] - meanY);
    xx += (x[j] - meanX) * (x[j] - meanX);
    yy += (y[j] - meanY) * (y[j] - meanY);
  }
  return xx > 0 && yy > 0 ? std::optional(xy / std::sqrt(xx * yy)) : std::nullopt;
}

CaseAgreement agreement(const std::vector<LayerReport>& layers) {
  CaseAgreement result;
  std::array<std::vector<double>, kCaseCount> predicted, measured;
  for (const LayerReport& layer : layers) {
    for (const HeadReport& head : layer.heads) {
      ++result.heads;
      result.sameLabel += head.cases.label == head.cases.predictedLabel ? 1 : 0;
      for (std::size_t c = 0; c < kCaseCount; ++c) {
        predicted[c].push_back(head.cases.predicted[c]);
        measured[c].push_back(head.cases.scores[c]);
      }
    }
  }
  for (std::size_t c = 0; c < kCaseCount; ++c) {
    result.rankCorrelation[c] = correlation(ranks(predicted[c]), ranks(measured[c]));
  }
  return result;
}

}  // namespace

AnalysisOptions estimateOptions() {
  AnalysisOptions options;
  options.sample.rows = 64;
  options.boundSample = RowSample{16};
  options.lagTokens = 512;  // 1024 costs half as much again; of SmolLM2's 270 labels one more is as the exact one
  options.caseOptions.anchors = 8;
  return options;
}

Report analyzeCapture(const Capture& capture, const AnalysisOptions& options, const JobControl& control) {
  const auto start = std::chrono::steady_clock::now();
  Report report;
  report.tokens = capture.tokens();
  report.exact = options.sample.exact(capture.tokens()) && options.boundRows().exact(capture.tokens());
  std::vector<int> layers = options.layers;
  for (int layer = 0; options.layers.empty() && layer < capture.header().layers; ++layer) {
    if (capture.ready(layer)) {
      layers.push_back(layer);
    }
  }
  std::map<int, LayerReport> done;
  device::Outcome outcome = device::analyzeLayers(capture, layers, options, control);
  report.device = outcome.device;
  report.note = outcome.note;
  for (LayerReport& layer : outcome.layers) {
    done.emplace(layer.layer, std::move(layer));
  }
  std::vector<int> rest;
  std::copy_if(layers.begin(), layers.end(), std::back_inserter(rest),
               [&done](int layer) { return !done.contains(layer); });
  if (!rest.empty() || layers.empty()) {
    for (LayerReport& layer : CaptureAnalysis(capture, options, rest, control).run()) {
      done.emplace(layer.layer, std::move(layer));
    }
  }
  for (const int layer : layers) {
    report.layers.push_back(done.at(layer));
  }
  if (options.cases) {
    report.agreement = agreement(report.layers);
  }
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

void setBlockInfluence(Report& report, const std::vector<double>& published, const std::vector<double>& residual) {
  const auto value = [](const std::vector<double>& values, int layer) -> std::optional<double> {
    const auto index = static_cast<std::size_t>(layer);
    return index < values.size() && !std::isnan(values[index]) ? std::optional(values[index]) : std::nullopt;
  };
  for (LayerReport& layer : report.layers) {
    layer.blockInfluence = value(published, layer.layer);
    layer.blockInfluenceResidual = value(residual, layer.layer);
  }
}

void applyThresholds(Report& report, const CaseThresholds& thresholds) {
  for (LayerReport& layer : report.layers) {
    for (HeadReport& head : layer.heads) {
      applyThresholds(head.cases, thresholds);
    }
  }
  report.agreement = agreement(report.layers);
}

void setNeedleScores(Report& report, const NeedleScores& scores) {
  for (LayerReport& layer : report.layers) {
    for (HeadReport& head : layer.heads) {
      head.needleRetrieval = scores.copied(head.layer, head.head);
    }
  }
}

std::vector<std::pair<std::string, std::string>> reportDefinitions(const AnalysisOptions& options) {
  std::vector<std::pair<std::string, std::string>> definitions;
  for (const ScoreDefinition& score : scoreDefinitions()) {
    definitions.emplace_back(score.name, score.text);
  }
  for (const ScoreDefinition& figure : furtherDefinitions()) {
    const bool measure = figure.name.starts_with("q_similarity_");
    const bool asked = measure                                   ? options.measures
                       : figure.name.starts_with("case_scores.") ? options.cases
                       : figure.name.starts_with("bounds.")      ? options.bounds
                       : figure.name == "needle_retrieval"       ? false  // the window's alone
                                                                 : true;
    if (asked) {
      definitions.emplace_back(figure.name, figure.text);
    }
  }
  return definitions;
}

}  // namespace headscope
