#include <sys/mman.h>

#include <new>

#include "core/capture/capture.h"
#include "core/capture/capture_format.h"

namespace headscope {
namespace {

using capture_format::tensorName;

constexpr std::align_val_t kAlignment{std::size_t{2} << 20};  // a huge page

std::uint64_t aligned(std::uint64_t bytes) {
  return (bytes + 63) / 64 * 64;
}

std::shared_ptr<std::byte> allocate(std::uint64_t bytes) {
  void* block = ::operator new(static_cast<std::size_t>(bytes), kAlignment, std::nothrow);
  if (block == nullptr) {
    throw Error("", concat("no memory for ", bytes, " bytes of captured queries and keys"), ErrorKind::Memory);
  }
  // First touches cost as much as the copy itself with pages of 4 KiB. Only a wish: failing changes nothing.
  ::madvise(block, static_cast<std::size_t>(bytes), MADV_HUGEPAGE);
  return {static_cast<std::byte*>(block), [](std::byte* pointer) { ::operator delete(pointer, kAlignment); }};
}

std::vector<FloatRows> headRows(const std::byte* data, FloatType type, int heads, std::int64_t tokens, int dim) {
  std::vector<FloatRows> rows(static_cast<std::size_t>(data != nullptr ? heads : 0));
  const std::size_t bytes = static_cast<std::size_t>(tokens) * static_cast<std::size_t>(dim) * floatBytes(type);
  for (std::size_t head = 0; head < rows.size(); ++head) {
    rows[head] = {data + head * bytes, type, tokens, dim};
  }
  return rows;
}

}  // namespace

struct CaptureBuilder::State {
  std::shared_ptr<Capture> capture;
  Options options;
  std::vector<Target> targets;
  std::shared_ptr<SafetensorsWriter> writer;  ///< null: in memory

  std::uint64_t bytes(int heads, int dim) const {
    return static_cast<std::uint64_t>(heads) * static_cast<std::uint64_t>(capture->tokens()) *
           static_cast<std::uint64_t>(dim) * floatBytes(options.type);
  }
  const LayerShape& shape(int layer) const { return options.shapes.at(static_cast<std::size_t>(layer)); }
  std::uint64_t lseBytes(int layer) const {
    return !options.lse ? 0
                        : static_cast<std::uint64_t>(shape(layer).heads) *
                              static_cast<std::uint64_t>(capture->tokens()) * sizeof(float);
  }
  bool hasSinks(int layer) const {
    return !options.sinks.empty() && !options.sinks.at(static_cast<std::size_t>(layer)).empty();
  }

  void check() const;
  void openFile();
  Target place(int layer);
  Target placeInMemory(int layer);
  Target placeInFile(int layer);
};

void CaptureBuilder::State::check() const {
  const CaptureHeader& header = capture->header();
  const std::string where = options.file.string();
  if (capture->tokens() < 1) {
    throw Error(where, "a capture needs at least one token");
  }
  capture_format::checkHeader(header, where);
  if (options.shapes.size() != static_cast<std::size_t>(header.layers) ||
      (!options.sinks.empty() && options.sinks.size() != options.shapes.size())) {
    throw Error(where, "shapes or sinks don't cover the layers");
  }
  for (int layer = 0; layer < header.layers; ++layer) {
    const LayerShape& layerShape = shape(layer);
    capture_format::checkLayer(header, layer, layerShape.heads, layerShape.kvHeads, layerShape.dim, where);
    if (hasSinks(layer) &&
        options.sinks[static_cast<std::size_t>(layer)].size() != static_cast<std::size_t>(layerShape.heads)) {
      throw Error(where, concat("layer ", layer, " has ", layerShape.heads, " heads, but not as many sinks"));
    }
  }
  const auto tokens = static_cast<std::size_t>(capture->tokens());
  for (const std::size_t size : {header.ids.size(), header.positions.size(), header.tokens.size()}) {
    if (size != 0 && size != tokens) {
      throw Error(where, concat("ids, positions or token texts are ", size, ", tokens ", tokens));
    }
  }
}

void CaptureBuilder::State::openFile() {
  std::vector<capture_format::LayerPlan> plans;
  for (int layer = 0; layer < capture->header().layers; ++layer) {
    const LayerShape& from = shape(layer);
    capture_format::LayerPlan plan{from.heads, from.kvHeads, from.dim, options.type, options.type};
    if (options.values) {
      plan.v = options.type;
    }
    plan.lse = options.lse;
    plan.sinks = hasSinks(layer);
    plans.push_back(plan);
  }
  writer = std::make_shared<SafetensorsWriter>(
      options.file, capture_format::declareTensors(capture->header(), capture->tokens(), plans),
      SafetensorsWriter::Metadata{{capture_format::kMetadataKey, capture_format::metadataText(capture->header())}});
  capture_format::writeHeaderTensors(*writer, capture->header());
  for (int layer = 0; layer < capture->header().layers; ++layer) {
    if (hasSinks(layer)) {
      const std::vector<float>& sinks = options.sinks[static_cast<std::size_t>(layer)];
      writer->write(tensorName("sinks", layer), 0, std::as_bytes(std::span(sinks)));
    }
  }
  capture->storage_.push_back(writer);
}

CaptureBuilder::Target CaptureBuilder::State::placeInMemory(int layer) {
  const LayerShape& of = shape(layer);
  const std::uint64_t q = aligned(bytes(of.heads, of.dim));
  const std::uint64_t kv = aligned(bytes(of.kvHeads, of.dim));
  const std::uint64_t head = q + kv * (options.values ? 2 : 1);
  const std::uint64_t all = head + lseBytes(layer);
  std::shared_ptr<std::byte> block = options.allocate ? options.allocate(all) : nullptr;
  if (block == nullptr) {
    block = allocate(all);
  }
  capture->storage_.push_back(block);
  Target target;
  target.q = block.get();
  target.k = block.get() + q;
  target.v = options.values ? block.get() + q + kv : nullptr;
  target.lse = options.lse ? reinterpret_cast<float*>(block.get() + head) : nullptr;
  return target;
}

CaptureBuilder::Target CaptureBuilder::State::placeInFile(int layer) {
  Target target;
  target.q = writer->map(tensorName("q", layer)).data();
  target.k = writer->map(tensorName("k", layer)).data();
  target.v = options.values ? writer->map(tensorName("v", layer)).data() : nullptr;
  target.lse = options.lse ? reinterpret_cast<float*>(writer->map(tensorName("lse", layer)).data()) : nullptr;
  return target;
}

CaptureBuilder::Target CaptureBuilder::State::place(int layer) {
  const Target target = writer ? placeInFile(layer) : placeInMemory(layer);
  const LayerShape& of = shape(layer);
  const std::int64_t tokens = capture->tokens();
  CaptureLayer& data = capture->layers_[static_cast<std::size_t>(layer)];
  data.heads = of.heads;
  data.kvHeads = of.kvHeads;
  data.dim = of.dim;
  data.q = headRows(target.q, options.type, of.heads, tokens, of.dim);
  data.k = headRows(target.k, options.type, of.kvHeads, tokens, of.dim);
  data.v = headRows(target.v, options.type, of.kvHeads, tokens, of.dim);
  if (options.lse) {
    data.lse = {target.lse, static_cast<std::size_t>(of.heads) * static_cast<std::size_t>(tokens)};
  }
  if (hasSinks(layer)) {
    auto sinks = std::make_shared<const std::vector<float>>(options.sinks[static_cast<std::size_t>(layer)]);
    data.sinks = *sinks;
    capture->storage_.push_back(std::move(sinks));
  }
  return target;
}

CaptureBuilder::CaptureBuilder(CaptureHeader header, std::int64_t tokens, Options options)
    : state_(std::make_unique<State>()) {
  state_->capture.reset(new Capture());
  Capture& capture = *state_->capture;
  capture.header_ = std::move(header);
  capture.tokens_ = tokens;
  capture.path_ = options.file;
  state_->options = std::move(options);
  state_->check();
  const auto layers = static_cast<std::size_t>(capture.header_.layers);
  capture.layers_.resize(layers);
  capture.ready_ = std::make_unique<std::atomic<bool>[]>(layers);
  state_->targets.resize(layers);
  for (int layer = 0; layer < capture.header_.layers; ++layer) {
    const LayerShape& of = state_->shape(layer);
    capture.bytes_ += state_->bytes(of.heads, of.dim) + state_->lseBytes(layer) +
                      state_->bytes(of.kvHeads, of.dim) * (state_->options.values ? 2 : 1);
  }
  if (!state_->options.file.empty()) {
    state_->openFile();
  }
}

CaptureBuilder::~CaptureBuilder() = default;

CaptureBuilder::Target CaptureBuilder::target(int layer) {
  Target& target = state_->targets.at(static_cast<std::size_t>(layer));
  if (target.q == nullptr) {
    target = state_->place(layer);
  }
  return target;
}

void CaptureBuilder::setDeviceRows(int layer, DeviceRows rows) {
  const Capture& capture = *state_->capture;
  const std::lock_guard lock(capture.deviceMutex_);
  capture.deviceRows_.resize(static_cast<std::size_t>(capture.header().layers));
  capture.deviceRows_.at(static_cast<std::size_t>(layer)) = std::move(rows);
}

void CaptureBuilder::finishLayer(int layer) {
  target(layer);  // a layer that was never asked for is all zeros, not a null pointer
  if (state_->writer) {
    state_->writer->release(std::as_bytes(state_->writer->map(tensorName("q", layer))));
    state_->writer->release(std::as_bytes(state_->writer->map(tensorName("k", layer))));
  }
  state_->capture->ready_[static_cast<std::size_t>(layer)].store(true, std::memory_order_release);
}

std::shared_ptr<const Capture> CaptureBuilder::capture() const {
  return state_->capture;
}

void CaptureBuilder::finish() {
  const Capture& capture = *state_->capture;
  if (capture.readyLayers() != capture.header().layers) {
    throw Error(state_->options.file.string(),
                concat("only ", capture.readyLayers(), " of ", capture.header().layers, " layers were captured"));
  }
  if (state_->writer) {
    state_->writer->commit();
  }
}

}  // namespace headscope
