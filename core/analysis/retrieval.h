#pragma once

// Retrieval score on a needle prompt (Wu et al. 2024, arXiv 2404.15574): a text that says something once and says it
// again much later. A head copies a token of the answer if, in the row that predicts it, its largest probability lies
// on that very token inside the needle.

#include <cstdint>
#include <optional>
#include <span>

#include "core/analysis/head_scores.h"
#include "core/analysis/head_vectors.h"
#include "core/base/job_control.h"

namespace headscope {

/// ids[needle + j] = ids[answer + j] for 0 ≤ j < tokens.
struct NeedleSpan {
  std::int64_t needle = 0, answer = 0, tokens = 0;
};

/// The longest stretch of ids that occurs again without overlap, at least `shortest` tokens long and starting at least
/// `distance` tokens later; the earliest such pair of the longest. None if nothing repeats like that.
std::optional<NeedleSpan> findNeedle(std::span<const std::int64_t> ids, std::int64_t shortest = 5,
                                     std::int64_t distance = 32);

struct RetrievalScore {
  double copied = 0;  ///< share of the answer's tokens that the head copies, 0 … 1
  double mass = 0;    ///< mean probability on the needle's token that is to be said next, 0 … 1
  NeedleSpan span;
};

/// Rows answer − 1 … answer + tokens − 2, each predicting the next token of the answer; of a long answer a sample of
/// them if asked: all rows cost as much as a part of the map.
RetrievalScore retrievalScore(const HeadVectors& head, std::span<const std::int64_t> ids, const NeedleSpan& span,
                              const JobControl& control = {}, const RowSample& sample = {});

}  // namespace headscope
