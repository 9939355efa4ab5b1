#include "core/model/detail/prefill.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>

#include <ATen/TensorOperators.h>
#include <ATen/ops/from_blob.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/util/Exception.h>

#include "core/model/detail/cross_entropy.h"
#include "core/model/detail/kept_rows.h"
#include "core/model/detail/layer_step.h"
#include "core/model/detail/memory.h"

namespace headscope {
namespace {

constexpr std::int64_t kHostBlock = 1024;
constexpr std::int64_t kGpuBlock = 131072;  // halved where the memory is short
constexpr std::int64_t kSmallestBlock = 128;
constexpr std::int64_t kGpuLogits = std::int64_t{1} << 28;
constexpr std::int64_t kHostLogits = std::int64_t{1} << 25;  // of one block where all are wanted: 128 MiB in float32
constexpr std::int64_t kHostIds = 2048;                      // of the vocabulary at a time where only the loss is
// A capture up to this size is page-locked: the GPU writes it directly. Locking more would take longer than it saves.
constexpr std::uint64_t kMostPageLocked = std::uint64_t{2} << 30;

CaptureHeader captureHeader(const Engine& engine, std::span<const std::int64_t> ids, const RunOptions& options,
                            std::vector<Rope> ropes) {
  const plan::Decoder& decoder = engine.decoder();
  const plan::Attention& first = decoder.layers.front().attention;
  CaptureHeader header;
  header.model = decoder.name;
  header.family = decoder.family;
  header.layers = engine.layers();
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
        block_(std::min(tokens_, options.block > 0  ? options.block
                                 : engine.usesGpu() ? kGpuBlock
                                                    : kHostBlock)),
        ropes_(ropesFor(decoder_, tokens_)),
        tables_(decoder_, ropes_, tokens_),
        step_(engine, tables_, tokens_, options.fusedAttention ? AttentionPath::Auto : AttentionPath::Blocks) {
    result_.notes = engine.placement.notes;
    if (decoder_.context > 0 && tokens_ > decoder_.context) {
      result_.notes.push_back(concat("the text has ", tokens_, " tokens, the model was made for ", decoder_.context));
    }
  }

  RunResult run() {
    const auto begin = std::chrono::steady_clock::now();
    startCapture();
    const at::Tensor ids = at::from_blob(const_cast<std::int64_t*>(ids_.data()), {tokens_}, at::kLong);
    const at::Tensor there = ids.to(engine_.placement.embedding.device);
    at::Tensor x = embed(engine_.weights, decoder_, there);
    const at::Tensor extra = perLayerInputs(engine_.weights, decoder_, there, x);
    for (int layer = 0; layer < engine_.layers(); ++layer) {
      runLayer(layer, x, extra);
    }
    demandFinite(x);
    runHead(x, ids);
    finishCapture();
    synchronize(engine_);
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
    options.type = captureType();
    options.values = options_.values;
    options.lse = engine_.type() == at::kFloat && options.type == FloatType::F32;
    options.shapes = layerShapes(decoder_);
    options.sinks = sinksOf(engine_.files);
    options.file = options_.file;
    const bool direct = engine_.usesGpu() && options.file.empty() && captureBytes(options) <= kMostPageLocked;
    if (direct) {
      options.allocate = pageLockedBlock;
    }
    dropKeptRows();
    keep_ = options_.deviceRows && engine_.usesGpu() && gpuHasRoom(engine_, 3 * captureBytes(options));
    builder_.emplace(captureHeader(engine_, ids_, options_, ropes_), tokens_, options);
    if (keep_) {
      rememberKeptRows(builder_->capture());
    }
    if (engine_.usesGpu()) {
      transfer_.emplace(engine_.threads, direct);
    }
    if (options_.started) {
      options_.started(builder_->capture());
    }
  }

  FloatType captureType() const {
    return options_.captureType.value_or(engine_.type() == at::kBFloat16 ? FloatType::BF16
                                         : engine_.type() == at::kHalf   ? FloatType::F16
                                                                         : FloatType::F32);
  }

  std::uint64_t captureBytes(const CaptureBuilder::Options& options) const {
    std::int64_t numbers = 0;
    for (const CaptureBuilder::LayerShape& shape : options.shapes) {
      numbers += tokens_ * shape.dim * (shape.heads + shape.kvHeads * (options.values ? 2 : 1));
    }
    return static_cast<std::uint64_t>(numbers) * floatBytes(options.type);
  }

  void finishCapture() {
    if (transfer_) {
      transfer_->finish();
      publish();
    }
    if (builder_) {
      builder_->finish();
      result_.capture = builder_->capture();
    }
  }

  void runLayer(int layer, at::Tensor& x, const at::Tensor& extra) {
    const Place& place = engine_.place(layer);
    x = placed(x, place);
    std::optional<CaptureRows> rows;
    if (builder_) {
      rows.emplace(builder_->target(layer), captureType(), layerShapes(decoder_)[static_cast<std::size_t>(layer)],
                   tokens_, transfer_ ? &*transfer_ : nullptr);
      keepRows(layer, *rows);
    }
    for (std::int64_t first = 0; first < tokens_;) {
      control_.checkpoint("prefill", layer * tokens_ + first, engine_.layers() * tokens_);
      const at::Tensor block = x.narrow(0, first, std::min(block_, tokens_ - first));
      report(layer, first, block);
      const at::Tensor own =
          extra.defined() ? placed(extra.narrow(0, first, block.size(0)).select(1, layer), place) : at::Tensor();
      if (runBlock(layer, first, block, own, rows ? &*rows : nullptr)) {
        first += block.size(0);
      }
    }
    step_.release(layer);
    endLayer(layer);
  }

  void keepRows(int layer, CaptureRows& rows) {
    const at::Device& device = engine_.place(layer).device;
    if (!keep_ || !device.is_cuda()) {
      return;
    }
    try {
      rows.keepOn(device);
      builder_->setDeviceRows(layer, *rows.deviceRows());
    } catch (const c10::OutOfMemoryError&) {
      keep_ = false;
      dropKeptRows();
    }
  }

  // False: the GPU's memory was not enough, `block` is as it was, and the next try will be with fewer rows.
  bool runBlock(int layer, std::int64_t first, const at::Tensor& block, const at::Tensor& own, CaptureRows* rows) {
    const at::Tensor before = block.is_cuda() ? block.clone() : at::Tensor();
    try {
      const at::Tensor output = step_.run(layer, first, block, own, rows);
      if (output.data_ptr() != block.data_ptr()) {
        block.copy_(output);
      }
      return true;
    } catch (const c10::OutOfMemoryError&) {
      if (!before.defined() || block.size(0) <= kSmallestBlock) {
        throw;
      }
      block.copy_(before);
    }
    keep_ = false;  // what other layers keep makes room first
    dropKeptRows();
    at::getDeviceAllocator(at::kCUDA)->emptyCache();
    block_ = std::max(kSmallestBlock, block.size(0) / 2);
    result_.notes.push_back(concat("GPU memory is short: blocks of ", block_, " tokens"));
    return false;
  }

  void endLayer(int layer) {
    if (transfer_) {
      transfer_->endLayer(layer);
    }
    ended_ = layer + 1;
    publish();
  }

  // Layers whose rows are where they belong become visible.
  void publish() {
    const int arrived = transfer_ ? transfer_->arrived() : ended_;
    for (; published_ < arrived; ++published_) {
      if (builder_) {
        builder_->finishLayer(published_);
      }
      if (options_.layerDone) {
        options_.layerDone(published_);
      }
    }
  }

  void report(int layer, std::int64_t first, const at::Tensor& rows) const {
    if (options_.hidden) {
      const at::Tensor floats = rows.to(at::kCPU, at::kFloat).contiguous();
      options_.hidden(layer, first, {floats.const_data_ptr<float>(), static_cast<std::size_t>(floats.numel())});
    }
  }

  // One NaN or infinity anywhere spreads to the end of the residual stream: maps of such a run would show nothing true.
  void demandFinite(const at::Tensor& x) const {
    if (std::isfinite(x.sum(at::kFloat).item<float>())) {
      return;
    }
    throw Error(engine_.files.path.string(), notFinite(engine_.type()));
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
    const Place& place = engine_.placement.head;
    const std::int64_t limit = place.device.is_cuda() ? kGpuLogits : kHostLogits;
    const std::int64_t step = std::clamp<std::int64_t>(
        limit / (place.device.is_cuda() || options_.logits ? decoder_.vocab : kHostIds), 1, block_);
    double sum = 0;
    for (std::int64_t first = 0; first < tokens_; first += step) {
      const at::Tensor stream = placed(x.narrow(0, first, std::min(step, tokens_ - first)), place);
      report(engine_.layers(), first, stream);
      const at::Tensor last = applyNorm(engine_.weights, decoder_.finalNorm, stream);
      report(engine_.layers() + 1, first, last);
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
    const std::int64_t rows = last.size(0), vocab = decoder_.vocab;
    const at::Tensor next = ids.narrow(0, first + 1, std::min(rows, tokens_ - 1 - first)).to(last.device());
    const bool loss = options_.loss && next.size(0) > 0;
    const std::int64_t range = options_.logits || last.is_cuda() ? vocab : kHostIds;
    CrossEntropy entropy(next);
    for (std::int64_t id = 0; id < vocab; id += range) {
      control_.checkpoint("output", first + rows * id / vocab, tokens_);
      const at::Tensor logits = headLogits(engine_.weights, decoder_, last, id, std::min(range, vocab - id));
      if (options_.logits) {
        at::from_blob(result_.logits.data() + first * vocab, {rows, vocab}, at::kFloat).copy_(logits);
      }
      if (loss) {
        entropy.add(id, logits.narrow(0, 0, next.size(0)));
      }
    }
    return loss ? entropy.sum() : 0;
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
  std::optional<CaptureTransfer> transfer_;  // after the builder: it writes into its memory
  bool keep_ = false;                        // rows stay on the GPU, too
  int ended_ = 0;                            // layers computed
  int published_ = 0;                        // layers shown to readers
  RunResult result_;
};

}  // namespace

std::string notFinite(at::ScalarType type) {
  return concat("the run gives values that are no finite numbers: the weights hold NaN or infinity",
                type == at::kHalf ? ", or values exceed 65504, the limit of f16" : "");
}

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

std::uint64_t gpuBytesNeeded(const Engine& engine, std::int64_t tokens) {
  if (!engine.usesGpu()) {
    return 0;
  }
  const plan::Decoder& decoder = engine.decoder();
  std::int64_t keys = 0, width = 0;
  for (const plan::Layer& layer : decoder.layers) {
    const plan::Attention& attention = layer.attention;
    keys = std::max<std::int64_t>(keys, 2 * attention.kvHeads * attention.headDim);
    const std::int64_t up = layer.mlp ? layer.mlp.up.weight.shape.front() : 0;
    width = std::max<std::int64_t>(width, 3 * up + 4 * attention.heads * attention.headDim);
  }
  const auto size = static_cast<std::int64_t>(c10::elementSize(engine.type()));
  const std::int64_t stream = tokens * (2 * decoder.hidden + keys) * size;
  const std::int64_t block = kSmallestBlock * (width + 6 * decoder.hidden) * 4;
  return static_cast<std::uint64_t>(stream + block);
}

RunResult prefill(const Engine& engine, std::span<const std::int64_t> ids, const RunOptions& options,
                  const JobControl& control) {
  checkIds(engine.decoder(), ids);
  return Prefill(engine, ids, options, control).run();
}

}  // namespace headscope
