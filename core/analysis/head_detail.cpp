#include "core/analysis/report.h"

namespace headscope {

std::optional<Series> seriesFromName(std::string_view name) {
  if (name == definition(Score::QSimilarityConsecutive).name) {
    return Series::QSimilarityConsecutive;
  }
  if (name == definition(Score::QSimilarityConsecutiveRope).name) {
    return Series::QSimilarityConsecutiveRope;
  }
  if (name == definition(Score::KSimilarityConsecutive).name) {
    return Series::KSimilarityConsecutive;
  }
  return {};
}

std::vector<double> series(const HeadVectors& head, Series series) {
  switch (series) {
    case Series::QSimilarityConsecutive:
      return consecutiveCosine(queriesBeforeRope(head));
    case Series::QSimilarityConsecutiveRope:
      return consecutiveCosine(queriesInDot(head));
    case Series::KSimilarityConsecutive:
      break;
  }
  return consecutiveCosine(keysBeforeRope(head));
}

HeadDetail analyzeHead(const Capture& capture, int layer, int head, const DetailOptions& options,
                       const JobControl& control) {
  const HeadVectors vectors = makeHeadVectors(capture, layer, head, options.interventions);
  const auto finished = [&options, &control](DetailPart part, const HeadDetail& detail) {
    control.checkpoint();
    if (options.onPart) {
      options.onPart(part, detail);
    }
  };
  HeadDetail detail;
  detail.layer = layer;
  detail.head = head;
  detail.kvHead = vectors.kvHead;
  detail.interventions = options.interventions;
  detail.exact =
      options.sample.exact(capture.tokens()) && options.boundSample.value_or(options.sample).exact(capture.tokens());
  detail.lens = ropeLens(vectors, control);
  finished(DetailPart::Lens, detail);
  detail.qSimilarity = series(vectors, Series::QSimilarityConsecutive);
  detail.qSimilarityRope = series(vectors, Series::QSimilarityConsecutiveRope);
  detail.kSimilarity = series(vectors, Series::KSimilarityConsecutive);
  detail.qSimilarityKv = windowedCosine(queriesInDot(vectors), kKvWindow);
  similarityScores(vectors, detail.scores);
  finished(DetailPart::Similarity, detail);
  if (options.attention) {
    const EarlierTokens earlier(capture.header().ids);
    attentionScores(vectors, earlier, options.sample, options.verticalSlash, detail.scores, &detail.rows, control);
    if (const auto needle = findNeedle(capture.header().ids)) {
      detail.retrieval = retrievalScore(vectors, capture.header().ids, *needle, control);
    }
    finished(DetailPart::Attention, detail);
  }
  if (options.cases) {
    detail.cases = classify(vectors, detail.lens, options.caseOptions, control);
    finished(DetailPart::Cases, detail);
  }
  if (options.bounds) {
    detail.bounds = checkBounds(vectors, {options.season, options.boundSample.value_or(options.sample), true}, control);
    finished(DetailPart::Bounds, detail);
  }
  return detail;
}

}  // namespace headscope
