#pragma once

// Block influence and q-similarity of the layers in the published pruning setting: every document is cut into segments
// of at most 1024 tokens that start every 256, the model runs anew on each, all segments weigh the same.

#include <string>
#include <vector>

#include "app/cli/corpus.h"
#include "app/cli/input.h"
#include "core/analysis/q_similarity.h"
#include "core/base/job_control.h"
#include "core/model/model.h"

namespace headscope::cli {

struct LayerScores {
  std::vector<double> blockInfluence;  ///< published: the last layer against the final norm's output
  std::vector<double> qSimilarity;     ///< mean pairwise cosine before RoPE, mean over heads
};

LayerScores publishedLayerScores(Model& model, const Tokenizer* tokenizer, const std::string& corpus, Bos bos,
                                 const JobControl& control, const SegmentRule& rule = {});

}  // namespace headscope::cli
