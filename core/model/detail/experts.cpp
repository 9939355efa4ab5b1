#include <limits>
#include <tuple>

#include <ATen/TensorOperators.h>
#include <ATen/ops/nonzero.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/zeros_like.h>

#include "core/model/detail/block.h"

namespace headscope {
namespace {

// Weights [tokens, chosen] and expert indices of the same shape.
struct Choice {
  at::Tensor weights, experts;
};

// GLM-4.5: only experts of the best groups may be chosen; a group's score is the sum of its two best.
at::Tensor withinBestGroups(const plan::Experts& experts, const at::Tensor& scores) {
  if (experts.groups <= 1) {
    return scores;
  }
  const at::Tensor grouped = scores.view({scores.size(0), experts.groups, -1});
  const at::Tensor groupScores = std::get<0>(grouped.topk(2, -1)).sum(-1);
  const at::Tensor best = std::get<1>(groupScores.topk(experts.chosenGroups, -1));
  const at::Tensor kept = at::zeros_like(groupScores).scatter(1, best, 1.0);
  return grouped.masked_fill(kept.unsqueeze(-1) == 0, -std::numeric_limits<double>::infinity()).view_as(scores);
}

Choice choose(const Weights& weights, const plan::Experts& experts, const at::Tensor& logits) {
  Choice choice;
  if (experts.routing == plan::Routing::SoftmaxOverChosen) {
    std::tie(choice.weights, choice.experts) = logits.topk(experts.chosen, -1);
    choice.weights = at::softmax(choice.weights, -1);
  } else if (experts.routing == plan::Routing::Sigmoid) {
    const at::Tensor scores = at::sigmoid(logits);
    const at::Tensor& correction = weights[experts.correction];
    const at::Tensor corrected = correction.defined() ? scores + correction : scores;
    choice.experts = std::get<1>(withinBestGroups(experts, corrected).topk(experts.chosen, -1));
    choice.weights = scores.gather(1, choice.experts);
  } else {
    std::tie(choice.weights, choice.experts) = at::softmax(logits, -1).topk(experts.chosen, -1);
  }
  if (experts.renormalise) {
    choice.weights = choice.weights / (choice.weights.sum(-1, true) + experts.renormaliseEps);
  }
  choice.weights = choice.weights * experts.weightScale;
  if (experts.expertScale) {
    choice.weights =
        choice.weights * weights[experts.expertScale].index_select(0, choice.experts.flatten()).view_as(choice.weights);
  }
  return choice;
}

at::Tensor routerLogits(const Weights& weights, const plan::Experts& experts, const at::Tensor& x,
                        const at::Tensor& raw) {
  at::Tensor input = x;
  if (experts.routerNorm) {
    input = applyNorm(weights, experts.routerNorm, raw) * weights[experts.routerScale] * experts.routerFactor;
  }
  return applyLinear(weights, experts.router, input).to(at::kFloat);
}

}  // namespace

at::Tensor applyExperts(const Weights& weights, const plan::Experts& experts, const at::Tensor& x,
                        const at::Tensor& raw) {
  const Choice choice = choose(weights, experts, routerLogits(weights, experts, x, raw));
  at::Tensor y = at::zeros_like(x);
  for (std::size_t expert = 0; expert < experts.experts.size(); ++expert) {
    const at::Tensor places = at::nonzero(choice.experts == static_cast<std::int64_t>(expert));
    if (places.size(0) == 0) {
      continue;
    }
    const at::Tensor rows = places.select(1, 0);
    const at::Tensor share =
        choice.weights.flatten().index_select(0, rows * choice.weights.size(1) + places.select(1, 1));
    const at::Tensor out = applyMlp(weights, experts.experts[expert], x.index_select(0, rows));
    y = y.index_add(0, rows, (out * share.unsqueeze(-1)).to(y.scalar_type()));
  }
  if (experts.shared) {
    at::Tensor shared = applyMlp(weights, experts.shared, x);
    if (experts.sharedGate) {
      shared = shared * at::sigmoid(applyLinear(weights, experts.sharedGate, x));
    }
    y = y + shared;
  }
  return y;
}

}  // namespace headscope
