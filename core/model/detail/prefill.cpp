#include "core/model/detail/prefill.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>

#include <ATen/TensorOperators.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/logsumexp.h>

#include "core/model/detail/layer_step.h"
#include "core/model/detail/memory.h"

namespace headscope {
namespace {

constexpr std::int64_t kLogitElements = std::int64_t{1} << 25;  // of one block: 128 MiB in float32

CaptureHeader captureHeader(const Engine& engine, std::span<const std::int64_t> ids, const RunOptions& options,
                            std::vector<Rope> ropes) {
  const plan::Decoder& decoder = engine.decoder();
  const plan::Attention& first = decoder.layers.front().attention;
  CaptureHeader header;
  header.model = decoder.name;
  header.family = decoder.family;
  header.layers = static_cast<int>(decoder.layers.size());
  header.heads = first.heads;
  header.kvHeads = first.kvHeads;
  header.headDim = first.headDim;
  header.attention = attentionSpecs(engine.files);
  header.ropes = std::move(ropes);
  header.tokens = options.tokens;
  header.text = options.text;
  header.ids.assign(ids.begin(), ids.end());
  return header;
}

class Prefill {
 public:
  Prefill(const Engine& engine, std::span<const std::int64_t> ids, const RunOptions& options, const JobControl& control)
      : engine_(engine),
        decoder_(engine.decoder()),
        options_(options),
        control_(control),
        ids_(ids),
        tokens_(static_cast<std::int64_t>(ids.size())),
        block_(std::min(tokens_, options.block > 0 ? options.block : std::int64_t{1024})),
        ropes_(ropesFor(decoder_, tokens_)),
        tables_(decoder_, ropes_, tokens_),
        step_(engine, tables_, tokens_, options.fusedAttention ? AttentionPath::Auto : AttentionPath::Blocks) {}

  RunResult run() {
    const auto begin = std::chrono::steady_clock::now();
    startCapture();
    const at::Tensor ids = at::from_blob(const_cast<std::int64_t*>(ids_.data()), {tokens_}, at::kLong);
    at::Tensor x = embed(engine_.weights, decoder_, ids.to(engine_.embeddingDevice));
    const at::Tensor extra = perLayerInputs(engine_.weights, decoder_, ids.to(engine_.embeddingDevice), x);
    for (int layer = 0; layer < static_cast<int>(decoder_.layers.size()); ++layer) {
      runLayer(layer, x, extra);
    }
    if (builder_) {
      builder_->finish();
      result_.capture = builder_->capture();
    }
    runHead(x, ids);
    result_.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    result_.peakBytes = peakResidentBytes();
    return std::move(result_);
  }

 private:
  void startCapture() {
    if (!options_.capture) {
      return;
    }
    CaptureBuilder::Options options;
    options.type = options_.captureType;
    options.values = options_.values;
    options.shapes = layerShapes(decoder_);
    options.sinks = sinksOf(engine_.files);
    options.file = options_.file;
    builder_.emplace(captureHeader(engine_, ids_, options_, ropes_), tokens_, options);
    if (options_.started) {
      options_.started(builder_->capture());
    }
  }

  void runLayer(int layer, at::Tensor& x, const at::Tensor& extra) {
    const at::Device device = engine_.layerDevice[static_cast<std::size_t>(layer)];
    x = x.to(device);
    std::optional<CaptureRows> rows;
    if (builder_) {
      rows.emplace(builder_->target(layer), options_.captureType,
                   layerShapes(decoder_)[static_cast<std::size_t>(layer)], tokens_);
    }
    for (std::int64_t first = 0; first < tokens_; first += block_) {
      control_.checkpoint("prefill", layer * tokens_ + first, std::int64_t{layers()} * tokens_);
      at::Tensor block = x.narrow(0, first, std::min(block_, tokens_ - first));
      report(layer, first, block);
      const at::Tensor own =
          extra.defined() ? extra.narrow(0, first, block.size(0)).select(1, layer).to(device) : at::Tensor();
      const at::Tensor output = step_.run(layer, first, block, own, rows ? &*rows : nullptr);
      if (output.data_ptr() != block.data_ptr()) {
        block.copy_(output);
      }
    }
    step_.release(layer);
    if (builder_) {
      builder_->finishLayer(layer);
    }
    if (options_.layerDone) {
      options_.layerDone(layer);
    }
  }

  int layers() const { return static_cast<int>(decoder_.layers.size()); }

  void report(int layer, std::int64_t first, const at::Tensor& rows) const {
    if (options_.hidden) {
      const at::Tensor floats = rows.to(at::kCPU, at::kFloat).contiguous();
      options_.hidden(layer, first, {floats.data_ptr<float>(), static_cast<std::size_t>(floats.numel())});
    }
  }

  // Final norm, head and loss, by blocks: never [tokens, V] at once unless the logits were asked for.
  void runHead(const at::Tensor& x, const at::Tensor& ids) {
    result_.loss = std::numeric_limits<double>::quiet_NaN();
    const bool head = options_.loss || options_.logits;
    if (!head && !options_.hidden) {
      return;
    }
    if (options_.logits) {
      result_.logits.resize(static_cast<std::size_t>(tokens_ * decoder_.vocab));
    }
    const std::int64_t step = std::clamp<std::int64_t>(kLogitElements / decoder_.vocab, 1, block_);
    double sum = 0;
    for (std::int64_t first = 0; first < tokens_; first += step) {
      control_.checkpoint("output", first, tokens_);
      const std::int64_t count = std::min(step, tokens_ - first);
      const at::Tensor stream = x.narrow(0, first, count).to(engine_.headDevice);
      const at::Tensor last = applyNorm(engine_.weights, decoder_.finalNorm, stream);
      report(layers(), first, stream);
      report(layers() + 1, first, last);
      if (head) {
        sum += headBlock(last, ids, first);
      }
    }
    if (options_.loss && tokens_ > 1) {
      result_.loss = sum / static_cast<double>(tokens_ - 1);
    }
  }

  // Returns the sum of the cross entropies of the block's rows that have a next token.
  double headBlock(const at::Tensor& last, const at::Tensor& ids, std::int64_t first) {
    const at::Tensor logits = headLogits(engine_.weights, decoder_, last);
    const std::int64_t count = logits.size(0);
    if (options_.logits) {
      at::from_blob(result_.logits.data() + first * decoder_.vocab, {count, decoder_.vocab}, at::kFloat).copy_(logits);
    }
    const std::int64_t targets = std::min(count, tokens_ - 1 - first);
    if (!options_.loss || targets <= 0) {
      return 0;
    }
    const at::Tensor predicting = logits.narrow(0, 0, targets);
    const at::Tensor next = ids.narrow(0, first + 1, targets).to(logits.device()).unsqueeze(1);
    const at::Tensor losses = at::logsumexp(predicting, -1, true) - predicting.gather(1, next);
    return losses.to(at::kDouble).sum().item<double>();
  }

  const Engine& engine_;
  const plan::Decoder& decoder_;
  const RunOptions& options_;
  const JobControl& control_;
  std::span<const std::int64_t> ids_;
  std::int64_t tokens_;
  std::int64_t block_;
  std::vector<Rope> ropes_;
  RotaryTables tables_;
  LayerStep step_;
  std::optional<CaptureBuilder> builder_;
  RunResult result_;
};

}  // namespace

void checkIds(const plan::Decoder& decoder, std::span<const std::int64_t> ids) {
  if (ids.empty()) {
    throw Error(decoder.name, "there is no token to run");
  }
  for (const std::int64_t id : ids) {
    if (id < 0 || id >= decoder.vocab) {
      throw Error(decoder.name, concat("token id ", id, " is outside the vocabulary of ", decoder.vocab));
    }
  }
}

RunResult prefill(const Engine& engine, std::span<const std::int64_t> ids, const RunOptions& options,
                  const JobControl& control) {
  checkIds(engine.decoder(), ids);
  return Prefill(engine, ids, options, control).run();
}

}  // namespace headscope
