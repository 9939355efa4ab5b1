#include "core/analysis/head_vectors.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/analysis/channel_lengths.h"
#include "core/analysis/q_similarity.h"

namespace headscope {
namespace {

void readRows(const FloatRows& rows, std::vector<double>& values) {
  constexpr std::int64_t kBlock = 256;
  std::vector<float> block(static_cast<std::size_t>(kBlock) * static_cast<std::size_t>(rows.dim));
  values.resize(static_cast<std::size_t>(rows.rows) * static_cast<std::size_t>(rows.dim));
  for (std::int64_t first = 0; first < rows.rows; first += kBlock) {
    const std::int64_t count = std::min(kBlock, rows.rows - first);
    rows.read(first, count, block.data());
    std::copy(block.begin(), block.begin() + count * rows.dim, values.begin() + first * rows.dim);
  }
}

void normalize(const std::vector<float>& weight, double eps, std::span<double> row) {
  double squares = 0;
  for (const double x : row) {
    squares += x * x;
  }
  const double factor = 1 / std::sqrt(squares / static_cast<double>(row.size()) + eps);
  for (std::size_t d = 0; d < row.size(); ++d) {
    row[d] *= factor * static_cast<double>(weight[d]);
  }
}

double positionScale(const PostRopeStep& step, std::int64_t position) {
  const auto turns = std::floor(static_cast<double>(position) / static_cast<double>(step.original));
  return 1 + step.beta * std::log(1 + turns);
}

/// From before RoPE to what enters the dot product, in place.
void toDotProduct(const LayerFrame& frame, bool queries, int dim, std::vector<double>& rows) {
  for (std::int64_t t = 0; t < frame.tokens; ++t) {
    const std::span<double> row(rows.data() + t * dim, static_cast<std::size_t>(dim));
    if (frame.rotation) {
      frame.rotation->rotate(t, row.data());
    }
    for (const PostRopeStep& step : frame.spec.postRope) {
      if (step.kind == PostRopeStep::Kind::RmsNorm) {
        normalize(queries ? step.q : step.k, step.eps, row);
      } else if (queries) {
        const double factor = positionScale(step, frame.positions[static_cast<std::size_t>(t)]);
        for (double& x : row) {
          x *= factor;
        }
      }
    }
  }
}

void readChangedRows(const FloatRows& source, const LayerFrame& frame, bool queries, std::vector<double>& rows) {
  readRows(source, rows);
  if (frame.rope) {
    changeChannels(*frame.rope, frame.interventions, queries, frame.tokens, source.dim, rows.data());
  }
}

/// `k` before RoPE, under the interventions.
std::shared_ptr<const KeyVectors> finishedKeys(std::vector<double> k, const LayerFrame& frame, int dim) {
  auto keys = std::make_shared<KeyVectors>();
  keys->k = std::move(k);
  keys->dotK = keys->k;
  toDotProduct(frame, false, dim, keys->dotK);
  keys->packed = PackedRows(keys->dotK.data(), frame.tokens, dim);
  keys->statistics.consecutiveCosine = meanConsecutiveCosine({keys->k.data(), frame.tokens, dim});
  if (frame.rope) {
    keys->statistics.channelLengths = meanChannelLengths(*frame.rope, keys->k, frame.tokens, dim);
  }
  return keys;
}

}  // namespace

LayerFrame makeLayerFrame(const Capture& capture, int layer, const Interventions& interventions,
                          std::shared_ptr<const RotationTable>* shared) {
  LayerFrame frame;
  frame.layer = layer;
  frame.tokens = capture.tokens();
  frame.spec = capture.attention(layer);
  frame.interventions = interventions;
  frame.positions.reserve(static_cast<std::size_t>(frame.tokens));
  for (std::int64_t t = 0; t < frame.tokens; ++t) {
    frame.positions.push_back(capture.position(t));
  }
  const Rope* rope = capture.rope(layer);
  checkChannels(rope, interventions);
  if (rope == nullptr) {
    return frame;
  }
  frame.rope = intervenedRope(*rope, interventions);
  if (shared != nullptr && *shared && (*shared)->rope() == *frame.rope) {
    frame.rotation = *shared;
    return frame;
  }
  frame.rotation = std::make_shared<const RotationTable>(*frame.rope, frame.positions);
  if (shared != nullptr) {
    *shared = frame.rotation;
  }
  return frame;
}

std::shared_ptr<const KeyVectors> makeKeyVectors(const Capture& capture, const LayerFrame& frame, int kvHead) {
  const CaptureLayer& layer = capture.layer(frame.layer);
  std::vector<double> k;
  readChangedRows(layer.k.at(static_cast<std::size_t>(kvHead)), frame, false, k);
  return finishedKeys(std::move(k), frame, layer.dim);
}

HeadVectors makeHeadVectors(const Capture& capture, std::shared_ptr<const LayerFrame> frame, int head,
                            std::shared_ptr<const KeyVectors> keys, HeadVectors spare) {
  const CaptureLayer& layer = capture.layer(frame->layer);
  if (head < 0 || head >= layer.heads) {
    throw Error("", concat("head ", head, " does not exist: layer ", frame->layer, " has ", layer.heads));
  }
  HeadVectors vectors = std::move(spare);
  vectors.head = head;
  vectors.kvHead = layer.kvHead(head);
  vectors.dim = layer.dim;
  readChangedRows(layer.q[static_cast<std::size_t>(head)], *frame, true, vectors.q);
  vectors.dotQ = vectors.q;
  toDotProduct(*frame, true, layer.dim, vectors.dotQ);
  vectors.lse.clear();
  vectors.sink.reset();
  if (!layer.lse.empty() && !frame->interventions.any()) {
    const auto stored =
        layer.lse.subspan(static_cast<std::size_t>(head * frame->tokens), static_cast<std::size_t>(frame->tokens));
    vectors.lse.assign(stored.begin(), stored.end());
  }
  if (!layer.sinks.empty()) {
    vectors.sink = layer.sinks[static_cast<std::size_t>(head)];
  }
  vectors.frame = std::move(frame);
  vectors.keys = std::move(keys);
  return vectors;
}

HeadVectors makeHeadVectors(std::vector<double> q, std::vector<double> k, int dim, AttentionSpec spec,
                            std::optional<Rope> rope, std::vector<std::int64_t> positions) {
  auto frame = std::make_shared<LayerFrame>();
  frame->tokens = static_cast<std::int64_t>(q.size()) / dim;
  frame->spec = std::move(spec);
  frame->positions = std::move(positions);
  for (std::int64_t t = static_cast<std::int64_t>(frame->positions.size()); t < frame->tokens; ++t) {
    frame->positions.push_back(t);
  }
  if (rope) {
    frame->rotation = std::make_shared<const RotationTable>(*rope, frame->positions);
    frame->rope = std::move(rope);
  }
  auto keys = finishedKeys(std::move(k), *frame, dim);
  HeadVectors vectors;
  vectors.dim = dim;
  vectors.dotQ = q;
  vectors.q = std::move(q);
  toDotProduct(*frame, true, dim, vectors.dotQ);
  vectors.frame = std::move(frame);
  vectors.keys = std::move(keys);
  return vectors;
}

HeadVectors makeHeadVectors(const Capture& capture, int layer, int head, const Interventions& interventions) {
  const CaptureLayer& data = capture.layer(layer);
  if (head < 0 || head >= data.heads) {
    throw Error("", concat("head ", head, " does not exist: layer ", layer, " has ", data.heads));
  }
  auto frame = std::make_shared<const LayerFrame>(makeLayerFrame(capture, layer, interventions));
  auto keys = makeKeyVectors(capture, *frame, data.kvHead(head));
  return makeHeadVectors(capture, std::move(frame), head, std::move(keys));
}

}  // namespace headscope
