#include "core/maps/head_view.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/capture/prepared_rows.h"
#include "core/maps/log_sum_exp.h"
#include "core/base/parallel.h"

namespace headscope {
namespace {

constexpr std::int64_t kRowsPerTask = 1024;

void prepare(const RowPreparation& rows, RowsOf side, int head, std::int64_t tokens, int dim, float factor,
             std::vector<float>& target, const JobControl& control) {
  target.resize(static_cast<std::size_t>(tokens * dim));
  parallelFor((tokens + kRowsPerTask - 1) / kRowsPerTask, [&](std::int64_t task) {
    control.checkpoint();
    const std::int64_t first = task * kRowsPerTask;
    const std::int64_t count = std::min(kRowsPerTask, tokens - first);
    float* at = target.data() + first * dim;
    rows.read(side, head, first, count, at);
    if (factor != 1.0f) {
      std::transform(at, at + count * dim, at, [factor](float x) { return x * factor; });
    }
  });
}

}  // namespace

float HeadView::logit(std::int64_t t, std::int64_t i) const noexcept {
  if (i > t || i < firstKey(t)) {
    return -std::numeric_limits<float>::infinity();
  }
  const float* query = q.data() + t * dim;
  const float* key = k.data() + i * dim;
  float sum = 0;
  for (int d = 0; d < dim; ++d) {
    sum += query[d] * key[d];
  }
  return softcap ? static_cast<float>(*softcap * std::tanh(static_cast<double>(sum) / *softcap)) : sum;
}

float HeadView::probability(std::int64_t t, std::int64_t i) const noexcept {
  return std::exp(logit(t, i) - normalizer(t));
}

float HeadView::normalizer(std::int64_t t) const noexcept {
  return withSink(lse[static_cast<std::size_t>(t)], sink);
}

LogitRule HeadView::rule() const {
  return {dim, window, softcap};
}

std::shared_ptr<HeadView> prepareHeadView(const Capture& capture, int layer, int head,
                                          const Interventions& interventions, const JobControl& control) {
  cleanVectorState();
  const CaptureLayer& data = capture.layer(layer);
  if (head < 0 || head >= data.heads) {
    throw Error(capture.path().string(),
                concat("head ", head, " does not exist in layer ", layer, ": there are 0 to ", data.heads - 1));
  }
  const AttentionSpec& spec = capture.attention(layer);
  const RowPreparation rows(capture, layer, interventions);
  auto view = std::make_shared<HeadView>();
  view->tokens = capture.tokens();
  view->dim = data.dim;
  view->window = spec.window;
  view->softcap = spec.softcap;
  if (!data.sinks.empty()) {
    view->sink = data.sinks[static_cast<std::size_t>(head)];
  }
  prepare(rows, RowsOf::Query, head, view->tokens, data.dim, static_cast<float>(spec.scale), view->q, control);
  prepare(rows, RowsOf::Key, data.kvHead(head), view->tokens, data.dim, 1.0f, view->k, control);
  if (data.lse.empty() || interventions.any()) {
    view->lse.assign(static_cast<std::size_t>(view->tokens), std::numeric_limits<float>::quiet_NaN());
  } else {
    const auto stored =
        data.lse.subspan(static_cast<std::size_t>(head * view->tokens), static_cast<std::size_t>(view->tokens));
    view->lse.assign(stored.begin(), stored.end());
  }
  return view;
}

std::shared_ptr<const HeadView> makeHeadView(const Capture& capture, int layer, int head,
                                             const Interventions& interventions, const JobControl& control) {
  const std::shared_ptr<HeadView> view = prepareHeadView(capture, layer, head, interventions, control);
  if (std::isnan(view->lse.front())) {
    view->lse = logSumExp(view->rule(), view->q.data(), view->k.data(), view->tokens, control);
  }
  return view;
}

std::shared_ptr<const Capture> completeLogSumExp(const Capture& capture, const JobControl& control) {
  std::vector<std::vector<float>> lse;
  const int layers = capture.header().layers;
  for (int layer = 0; layer < layers; ++layer) {
    std::vector<float>& rows = lse.emplace_back();
    for (int head = 0; head < capture.layer(layer).heads; ++head) {
      control.checkpoint("log-sum-exp of the rows", layer, layers);
      const auto view = makeHeadView(capture, layer, head, {}, control);
      rows.insert(rows.end(), view->lse.begin(), view->lse.end());
    }
  }
  return capture.withLogSumExp(std::move(lse));
}

void fillLogSumExp(HeadView& head, std::span<const std::int64_t> rows, const JobControl& control) {
  constexpr std::size_t kRows = 32;
  std::vector<QueryRow> missing;
  for (const std::int64_t t : rows) {
    if (std::isnan(head.lse[static_cast<std::size_t>(t)])) {
      missing.push_back({t, head.q.data() + t * head.dim, 0});
    }
  }
  const LogitRule rule = head.rule();
  parallelFor(static_cast<std::int64_t>((missing.size() + kRows - 1) / kRows), [&](std::int64_t task) {
    control.checkpoint();
    const std::size_t first = static_cast<std::size_t>(task) * kRows;
    const std::span<QueryRow> part = std::span(missing).subspan(first, std::min(kRows, missing.size() - first));
    fillNormalizers(rule, head.k.data(), part);
    for (const QueryRow& row : part) {
      head.lse[static_cast<std::size_t>(row.token)] = row.normalizer;
    }
  });
}

}  // namespace headscope
