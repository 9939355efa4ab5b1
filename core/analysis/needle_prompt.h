#pragma once

// Needle prompts of our own for the retrieval score (Wu et al. 2024, arXiv 2404.15574): a text in which one sentence
// doesn't belong, then a question, then that sentence as the answer. The answer stands in the prompt, so one prefill
// scores every head; no head has to make the model say it.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/analysis/retrieval.h"
#include "core/base/job_control.h"
#include "core/capture/capture.h"

namespace headscope {

struct NeedlePrompt {
  std::string text;
  std::string needle;  ///< the sentence that stands in `text` twice
  double depth = 0;    ///< where the first of the two is, as a share of the haystack
};

/// Three prompts with different needles at 20, 50 and 80 % of the haystack, cut at the ends of sentences.
std::vector<NeedlePrompt> needlePrompts(std::string_view haystack);

/// Means over prompts, by head.
class NeedleScores {
 public:
  /// Scores of all heads on the capture of one prompt. Throws Error if nothing in it repeats, or if its shape is not
  /// that of the captures before. Progress counts heads: stage "retrieval".
  void add(const Capture& capture, const JobControl& control = {});

  int prompts() const noexcept { return prompts_; }
  std::int64_t tokens() const noexcept { return tokens_; }  ///< of all needles: what the shares are shares of
  /// Share of the needles' tokens that the head copies, 0 … 1; none for a head that is not there.
  std::optional<double> copied(int layer, int head) const;

 private:
  int layers_ = 0, heads_ = 0, prompts_ = 0;
  std::int64_t tokens_ = 0;
  std::vector<double> copied_;  ///< [layers · heads] sums over prompts
};

}  // namespace headscope
