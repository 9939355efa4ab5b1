#include "core/masks/mask_conversion.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/base/error.h"

namespace headscope {
namespace {

const char* kNoRemovalOrder =
    "q-similarity ascends here and is no order of removal: the most similar layers go first, and the published order "
    "needs block influence too (prune-order)";

// Linear between neighbours, as numpy.quantile does it by default.
double quantile(std::vector<double> values, double share) {
  std::sort(values.begin(), values.end());
  const double at = share * static_cast<double>(values.size() - 1);
  const auto low = static_cast<std::size_t>(at);
  const std::size_t high = std::min(low + 1, values.size() - 1);
  return values[low] + (values[high] - values[low]) * (at - static_cast<double>(low));
}

std::vector<double> finite(const std::vector<double>& scores) {
  std::vector<double> values;
  std::copy_if(scores.begin(), scores.end(), std::back_inserter(values), [](double x) { return !std::isnan(x); });
  return values;
}

void keepFrom(MaskDocument& document, double threshold) {
  for (std::size_t index = 0; index < document.scores.size(); ++index) {
    document.keep[index] = document.scores[index] < threshold ? 0 : 1;  // NaN stays
  }
}

void checkCount(int count, std::size_t available, const char* what) {
  if (count < 0 || static_cast<std::size_t>(count) > available) {
    throw Error("--count", concat(count, " is not from 0 to ", available, ", the number of ", what));
  }
}

void dropLowest(MaskDocument& document, int count) {
  std::vector<std::size_t> order(document.scores.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::erase_if(order, [&](std::size_t index) { return std::isnan(document.scores[index]); });
  checkCount(count, order.size(), "scores");
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return document.scores[a] < document.scores[b]; });
  for (int index = 0; index < count; ++index) {
    document.keep[order[static_cast<std::size_t>(index)]] = 0;
  }
}

void dropFirstOfOrder(MaskDocument& document, int count) {
  checkCount(count, document.order.size(), "layers in the order");
  for (int index = 0; index < count; ++index) {
    document.keep[static_cast<std::size_t>(document.order[static_cast<std::size_t>(index)])] = 0;
  }
}

void warnOfMissing(MaskDocument& document) {
  const auto missing =
      std::count_if(document.scores.begin(), document.scores.end(), [](double x) { return std::isnan(x); });
  if (missing > 0) {
    document.warnings.push_back(concat(missing, " heads without a score are kept"));
  }
}

bool holdsScores(MaskKind kind) {
  return kind == MaskKind::RetrievalHead || kind == MaskKind::QrHeadScores || kind == MaskKind::TransformerLens;
}

bool isLayerKind(MaskKind kind) {
  return kind == MaskKind::Mergekit || kind == MaskKind::LlamaCpp || kind == MaskKind::BlockConfigs ||
         kind == MaskKind::TappaScores || kind == MaskKind::TappaOrder;
}

bool holdsAnyAxis(MaskKind kind) {
  return kind == MaskKind::Headscope || kind == MaskKind::Safetensors;
}

MaskAxis headAxisOf(MaskKind kind) {
  return kind == MaskKind::DuoAttention || kind == MaskKind::Prulong ? MaskAxis::Kv : MaskAxis::Query;
}

void demandMask(const MaskDocument& document) {
  if (!document.keep.empty()) {
    return;
  }
  if (document.kind == MaskKind::TappaScores && document.scoreName != "BI") {
    throw Error("", kNoRemovalOrder);
  }
  if (document.axis == MaskAxis::Layer && !document.order.empty() && document.direction == MaskDirection::Drop) {
    throw Error("", "an order becomes a list of layers only with --count", ErrorKind::Usage);
  }
  throw Error("", "scores become a mask only by --threshold, --sparsity or --count", ErrorKind::Usage);
}

// A mask as scores: 1 = kept.
void scoresFromMask(MaskDocument& document) {
  demandMask(document);
  document.scores.assign(document.keep.begin(), document.keep.end());
  document.scoreName = "kept";
}

// ShortGPT's order: least influence first, ties by index.
std::vector<int> influenceOrder(const std::vector<double>& influence) {
  std::vector<int> order(influence.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) {
    return influence[static_cast<std::size_t>(a)] < influence[static_cast<std::size_t>(b)];
  });
  return order;
}

MaskDocument toLayerOrder(const MaskDocument& document) {
  MaskDocument result = document;
  if (document.kind != MaskKind::TappaScores) {
    return result;
  }
  if (document.scoreName != "BI") {
    throw Error("", kNoRemovalOrder);
  }
  result.method = "ShortGPT";
  result.series = {{"bi", document.scores}};
  result.order = influenceOrder(document.scores);
  return result;
}

MaskDocument toLayerScores(const MaskDocument& document) {
  if (document.kind == MaskKind::TappaScores) {
    return document;
  }
  for (const LayerSeries& series : document.series) {
    if (series.name == "bi") {
      MaskDocument result = document;
      result.scores = series.values;
      result.scoreName = "BI";
      result.order = influenceOrder(series.values);
      return result;
    }
  }
  throw Error("", "there are no scores of block influence to write");
}

MaskDocument toLayers(const MaskDocument& document, MaskKind kind) {
  if (document.axis != MaskAxis::Layer) {
    throw Error("", concat("a mask of heads can't become ", maskKindName(kind), ", which is about whole layers"));
  }
  if (kind == MaskKind::TappaScores) {
    return toLayerScores(document);
  }
  if (kind == MaskKind::TappaOrder) {
    return toLayerOrder(document);
  }
  demandMask(document);
  return document;
}

}  // namespace

MaskDocument cutMask(const MaskDocument& document, const MaskCut& cut) {
  MaskDocument result = document;
  const bool order =
      document.axis == MaskAxis::Layer && !document.order.empty() && document.direction == MaskDirection::Drop;
  if (document.scores.empty() && !(order && cut.count)) {
    throw Error("", "there are no scores for --threshold, --sparsity or --count", ErrorKind::Usage);
  }
  if (document.kind == MaskKind::TappaScores && document.scoreName != "BI") {
    throw Error("", kNoRemovalOrder);
  }
  result.keep.assign(static_cast<std::size_t>(document.shape.layers) * static_cast<std::size_t>(document.entries()), 1);
  if (cut.count) {
    order ? dropFirstOfOrder(result, *cut.count) : dropLowest(result, *cut.count);
  } else if (cut.threshold) {
    keepFrom(result, *cut.threshold);
  } else {
    const std::vector<double> values = finite(document.scores);
    if (values.empty()) {
      throw Error("", "no head has a score");
    }
    keepFrom(result, quantile(values, cut.sparsity.value_or(0)));
  }
  warnOfMissing(result);
  return result;
}

MaskDocument maskToAxis(const MaskDocument& document, MaskAxis axis, std::optional<GroupRule> rule) {
  if (document.axis == axis) {
    return document;
  }
  if (document.axis == MaskAxis::Layer || axis == MaskAxis::Layer) {
    throw Error("", document.axis == MaskAxis::Layer
                        ? concat("whole layers don't become a mask of heads: a ", maskKindName(document.kind),
                                 " file takes the MLP of a layer too")
                        : std::string("a mask of heads doesn't become a list of layers"));
  }
  const MaskShape& shape = document.shape;
  if (shape.heads <= 0 || shape.kvHeads <= 0) {
    throw Error("", "from query heads to KV heads or back needs the numbers of both: give --model or --shape",
                ErrorKind::Usage);
  }
  if (axis == MaskAxis::Kv && !rule) {
    throw Error("", "query heads become KV heads only with --rule any, all or mean", ErrorKind::Usage);
  }
  MaskDocument result = document;
  result.axis = axis;
  result.remarks.clear();
  if (!document.keep.empty()) {
    result.keep = toAxis(headMask(document), axis == MaskAxis::Kv ? HeadAxis::Kv : HeadAxis::Query,
                         rule.value_or(GroupRule::Any), shape.heads)
                      .keep;
  }
  result.scores.clear();
  if (axis == MaskAxis::Query) {
    const auto size = static_cast<std::size_t>(shape.heads / shape.kvHeads);
    for (const double score : document.scores) {
      result.scores.insert(result.scores.end(), size, score);
    }
  }
  return result;
}

MaskDocument convertMask(const MaskDocument& document, MaskKind kind, const MaskConversion& conversion) {
  MaskDocument result = conversion.cut.any() ? cutMask(document, conversion.cut) : document;
  if (conversion.cut.any() && kind != MaskKind::Headscope && kind != MaskKind::Safetensors) {
    result.scores = isLayerKind(kind) ? result.scores : std::vector<double>();  // the mask is meant, not the scores
  }
  if (isLayerKind(kind)) {
    result = toLayers(result, kind);
  } else if (holdsAnyAxis(kind)) {
    demandMask(result);
  } else if (holdsScores(kind)) {
    if (result.axis == MaskAxis::Layer || result.scores.empty()) {
      scoresFromMask(result);
    }
    result = maskToAxis(result, MaskAxis::Query, conversion.rule);
  } else {
    demandMask(result);
    result = maskToAxis(result, headAxisOf(kind), conversion.rule);
  }
  result.kind = kind;
  return result;
}

}  // namespace headscope
