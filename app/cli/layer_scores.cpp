#include "app/cli/layer_scores.h"

#include <algorithm>

#include "core/analysis/block_influence.h"

namespace headscope::cli {
namespace {

using Ids = std::vector<std::int64_t>;

// Segments in the order of the public code; the last ones may be short.
std::vector<Ids> cutSegments(const Ids& ids, const SegmentRule& rule) {
  std::vector<Ids> segments;
  const auto size = static_cast<std::int64_t>(ids.size());
  for (std::int64_t start = 0; start < size; start += rule.stride) {
    segments.emplace_back(ids.begin() + start, ids.begin() + std::min(start + rule.length, size));
  }
  return segments;
}

double headSimilarity(const FloatRows& queries) {
  std::vector<float> floats(static_cast<std::size_t>(queries.rows * queries.dim));
  queries.read(0, queries.rows, floats.data());
  const std::vector<double> values(floats.begin(), floats.end());
  return meanPairwise({values.data(), queries.rows, queries.dim}, Measure::Cosine);
}

// Adds up over segments; the mean is over those that have the value (one token has no pair).
class Sums {
 public:
  explicit Sums(std::size_t layers) : influence_(layers, 0), similarity_(layers, 0) {}

  void add(Model& model, const Ids& segment, const JobControl& control) {
    BlockInfluence observed(model.info().layers);
    const auto width = static_cast<int>(model.info().hidden);
    RunOptions options;
    options.loss = false;
    options.hidden = [&](int layer, std::int64_t first, std::span<const float> rows) {
      observed.observe(layer, first, rows, width);
    };
    const auto capture = model.run(segment, options, control).capture;
    const std::vector<double> influence = observed.published();
    std::transform(influence.begin(), influence.end(), influence_.begin(), influence_.begin(), std::plus<>());
    ++segments_;
    if (segment.size() < 2) {
      return;
    }
    for (std::size_t layer = 0; layer < similarity_.size(); ++layer) {
      const CaptureLayer& captured = capture->layer(static_cast<int>(layer));
      double sum = 0;
      for (const FloatRows& queries : captured.q) {
        control.checkpoint();
        sum += headSimilarity(queries);
      }
      similarity_[layer] += sum / captured.heads;
    }
    ++pairedSegments_;
  }

  LayerScores means() const {
    LayerScores scores{influence_, similarity_};
    for (double& value : scores.blockInfluence) {
      value /= segments_;
    }
    for (double& value : scores.qSimilarity) {
      value /= pairedSegments_;
    }
    return scores;
  }

 private:
  std::vector<double> influence_, similarity_;
  int segments_ = 0, pairedSegments_ = 0;
};

}  // namespace

LayerScores publishedLayerScores(Model& model, const Tokenizer* tokenizer, const std::string& corpus, Bos bos,
                                 const JobControl& control, const SegmentRule& rule) {
  std::vector<Ids> segments;
  for (CorpusDocument& document : readCorpus(corpus)) {
    const Ids ids = document.ids.empty() ? tokenizeText(document.text, bos, tokenizer, model.info().path.string()).ids
                                         : std::move(document.ids);
    std::vector<Ids> own = cutSegments(ids, rule);
    std::move(own.begin(), own.end(), std::back_inserter(segments));
  }
  if (std::none_of(segments.begin(), segments.end(), [](const Ids& ids) { return ids.size() > 1; })) {
    throw Error(corpus, "holds no text of two tokens or more");
  }
  Sums sums(static_cast<std::size_t>(model.info().layers));
  const JobControl quiet{control.stop, {}};
  for (std::size_t index = 0; index < segments.size(); ++index) {
    control.checkpoint("segments", static_cast<std::int64_t>(index), static_cast<std::int64_t>(segments.size()));
    sums.add(model, segments[index], quiet);
  }
  return sums.means();
}

}  // namespace headscope::cli
