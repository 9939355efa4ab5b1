#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/capture/capture.h"
#include "core/capture/capture_format.h"
#include "core/capture/lse_check.h"
#include "core/files/safetensors.h"

namespace headscope {
namespace {

using capture_format::tensorName;

// A capture file that is being opened: its tensors, checked on the way out.
class Opening {
 public:
  Opening(const SafetensorsFile& file, std::string where) : file_(file), where_(std::move(where)) {}

  /// [a, b, c] of a float type.
  const TensorView& floats(const std::string& name, std::size_t rank) const {
    const TensorView& view = file_.at(name);
    if (!floatType(view.type) || view.shape.size() != rank) {
      fail(view, concat("expected ", rank, " dimensions of f32, bf16 or f16"));
    }
    return view;
  }

  /// Of exactly this shape.
  const TensorView& shaped(const std::string& name, TensorType type, const std::vector<std::int64_t>& shape) const {
    const TensorView& view = file_.at(name);
    if (view.type != type || view.shape != shape) {
      fail(view, concat("expected ", typeName(type), " ", shapeText(shape)));
    }
    return view;
  }

  bool has(const std::string& name) const { return file_.find(name) != nullptr; }

  [[noreturn]] void fail(const TensorView& view, const std::string& problem) const {
    throw Error(where_,
                concat("\"", view.name, "\" is ", typeName(view.type), " ", shapeText(view.shape), ", ", problem));
  }

  const std::string& where() const noexcept { return where_; }

 private:
  const SafetensorsFile& file_;
  std::string where_;
};

std::vector<FloatRows> headRows(const TensorView& view) {
  std::vector<FloatRows> heads(static_cast<std::size_t>(view.shape[0]));
  const FloatType type = *floatType(view.type);
  const std::size_t bytes =
      static_cast<std::size_t>(view.shape[1]) * static_cast<std::size_t>(view.shape[2]) * floatBytes(type);
  for (std::size_t head = 0; head < heads.size(); ++head) {
    heads[head] = {view.bytes.data() + head * bytes, type, view.shape[1], static_cast<int>(view.shape[2])};
  }
  return heads;
}

// The mapped floats themselves where they are aligned, otherwise a copy that `storage` keeps.
std::span<const float> floatSpan(const TensorView& view, std::vector<std::shared_ptr<const void>>& storage) {
  const std::size_t count = view.bytes.size() / sizeof(float);
  if (reinterpret_cast<std::uintptr_t>(view.bytes.data()) % alignof(float) == 0) {
    return {reinterpret_cast<const float*>(view.bytes.data()), count};
  }
  auto copy = std::make_shared<std::vector<float>>(count);
  std::memcpy(copy->data(), view.bytes.data(), view.bytes.size());
  const std::span<const float> span(*copy);
  storage.push_back(std::move(copy));
  return span;
}

std::vector<float> weightValues(const Opening& opening, const std::string& name) {
  const TensorView& view = opening.floats(name, 1);
  std::vector<float> values(static_cast<std::size_t>(view.shape[0]));
  toFloats(view.bytes.data(), *floatType(view.type), values.size(), values.data());
  return values;
}

std::vector<std::int64_t> integers(const Opening& opening, const std::string& name, std::int64_t tokens) {
  const TensorView& view = opening.shaped(name, TensorType::I64, {tokens});
  std::vector<std::int64_t> values(static_cast<std::size_t>(tokens));
  std::memcpy(values.data(), view.bytes.data(), view.bytes.size());
  return values;
}

void checkFinite(std::span<const float> values, const std::string& name, const std::string& where) {
  if (!std::all_of(values.begin(), values.end(), [](float value) { return std::isfinite(value); })) {
    throw Error(where, concat("\"", name, "\" holds a value that is not finite"));
  }
}

CaptureLayer openLayer(const Opening& opening, const CaptureHeader& header, int index, std::int64_t tokens,
                       std::vector<std::shared_ptr<const void>>& storage) {
  const TensorView& q = opening.floats(tensorName("q", index), 3);
  const TensorView& k = opening.floats(tensorName("k", index), 3);
  if (q.shape[1] != tokens) {
    opening.fail(q, concat("but \"q.0\" has ", tokens, " tokens"));
  }
  if (k.shape[1] != tokens || k.shape[2] != q.shape[2]) {
    opening.fail(k, concat("but \"", q.name, "\" is ", shapeText(q.shape)));
  }
  constexpr std::int64_t kLimit = 1 << 20;
  if (std::max({q.shape[0], k.shape[0], q.shape[2]}) > kLimit || q.shape[2] < 1) {
    opening.fail(q, "which is no possible size");
  }
  CaptureLayer layer;
  layer.heads = static_cast<int>(q.shape[0]);
  layer.kvHeads = static_cast<int>(k.shape[0]);
  layer.dim = static_cast<int>(q.shape[2]);
  capture_format::checkLayer(header, index, layer.heads, layer.kvHeads, layer.dim, opening.where());
  layer.q = headRows(q);
  layer.k = headRows(k);
  if (const std::string name = tensorName("v", index); opening.has(name)) {
    const TensorView& v = opening.floats(name, 3);
    if (v.shape != k.shape) {
      opening.fail(v, concat("but \"", k.name, "\" is ", shapeText(k.shape)));
    }
    layer.v = headRows(v);
  }
  if (const std::string name = tensorName("lse", index); opening.has(name)) {
    layer.lse = floatSpan(opening.shaped(name, TensorType::F32, {layer.heads, tokens}), storage);
  }
  if (const std::string name = tensorName("sinks", index); opening.has(name)) {
    layer.sinks = floatSpan(opening.shaped(name, TensorType::F32, {layer.heads}), storage);
    checkFinite(layer.sinks, name, opening.where());
  }
  return layer;
}

// Layers may differ, but what the header says must hold for one of them.
void checkSizes(const CaptureHeader& header, const std::vector<CaptureLayer>& layers, const std::string& where) {
  const auto some = [&layers](auto matches) { return std::any_of(layers.begin(), layers.end(), matches); };
  if (!some([&header](const CaptureLayer& layer) { return layer.dim == header.headDim; })) {
    throw Error(where, concat("\"head_dim\" says ", header.headDim, ", but no layer has that: \"q.0\" has ",
                              layers.front().dim));
  }
  if (!some([&header](const CaptureLayer& layer) { return layer.kvHeads == header.kvHeads; })) {
    throw Error(where, concat("\"kv_heads\" says ", header.kvHeads, ", but no layer has that: \"k.0\" has ",
                              layers.front().kvHeads));
  }
}

std::uint64_t layerBytes(const CaptureLayer& layer) {
  std::uint64_t bytes = layer.lse.size_bytes();
  for (const std::vector<FloatRows>* side : {&layer.q, &layer.k, &layer.v}) {
    for (const FloatRows& rows : *side) {
      bytes += static_cast<std::uint64_t>(rows.rows) * static_cast<std::uint64_t>(rows.dim) * floatBytes(rows.type);
    }
  }
  return bytes;
}

void writeRows(SafetensorsWriter& writer, const std::string& name, const std::vector<FloatRows>& heads,
               const JobControl& control) {
  constexpr std::size_t kPiece = std::size_t{32} << 20;
  std::uint64_t offset = 0;
  for (const FloatRows& rows : heads) {
    const std::size_t bytes =
        static_cast<std::size_t>(rows.rows) * static_cast<std::size_t>(rows.dim) * floatBytes(rows.type);
    for (std::size_t done = 0; done < bytes; done += kPiece) {
      control.checkpoint();
      const std::size_t piece = std::min(kPiece, bytes - done);
      writer.write(name, offset + done, {rows.data + done, piece});
    }
    offset += bytes;
  }
}

capture_format::LayerPlan planOf(const CaptureLayer& layer) {
  capture_format::LayerPlan plan{layer.heads, layer.kvHeads, layer.dim, layer.q[0].type, layer.k[0].type};
  if (!layer.v.empty()) {
    plan.v = layer.v[0].type;
  }
  plan.lse = !layer.lse.empty();
  plan.sinks = !layer.sinks.empty();
  return plan;
}

}  // namespace

std::shared_ptr<const Capture> Capture::open(const std::filesystem::path& path) {
  const std::shared_ptr<const SafetensorsFile> file = SafetensorsFile::open(path);
  const Opening opening(*file, path.string());
  const auto text = file->metadata().find(capture_format::kMetadataKey);
  if (text == file->metadata().end()) {
    throw Error(path.string(), concat("is no capture: its metadata has no \"", capture_format::kMetadataKey, "\""));
  }
  std::shared_ptr<Capture> capture(new Capture());
  capture->path_ = path;
  capture->header_ = capture_format::parseMetadata(
      text->second, path.string(), [&opening](const std::string& name) { return weightValues(opening, name); });
  CaptureHeader& header = capture->header_;
  capture_format::checkHeader(header, path.string());
  const std::int64_t tokens = opening.floats("q.0", 3).shape[1];
  if (tokens < 1) {
    throw Error(path.string(), "\"q.0\" has no tokens");
  }
  capture->tokens_ = tokens;
  if (!header.tokens.empty() && header.tokens.size() != static_cast<std::size_t>(tokens)) {
    throw Error(path.string(), concat("\"tokens\" has ", header.tokens.size(), " texts, \"q.0\" ", tokens, " tokens"));
  }
  if (opening.has("ids")) {
    header.ids = integers(opening, "ids", tokens);
  }
  if (opening.has("positions")) {
    header.positions = integers(opening, "positions", tokens);
  }
  capture->storage_.push_back(file);
  capture->ready_ = std::make_unique<std::atomic<bool>[]>(static_cast<std::size_t>(header.layers));
  for (int layer = 0; layer < header.layers; ++layer) {
    capture->layers_.push_back(openLayer(opening, header, layer, tokens, capture->storage_));
    capture->bytes_ += layerBytes(capture->layers_.back());
    capture->ready_[static_cast<std::size_t>(layer)].store(true, std::memory_order_release);
  }
  checkSizes(header, capture->layers_, path.string());
  checkStoredLse(*capture, path.string());
  return capture;
}

void Capture::save(const std::filesystem::path& path, const JobControl& control) const {
  std::vector<capture_format::LayerPlan> plans;
  for (int index = 0; index < header_.layers; ++index) {
    plans.push_back(planOf(layer(index)));
  }
  SafetensorsWriter writer(path, capture_format::declareTensors(header_, tokens_, plans),
                           {{capture_format::kMetadataKey, capture_format::metadataText(header_)}});
  capture_format::writeHeaderTensors(writer, header_);
  for (int index = 0; index < header_.layers; ++index) {
    control.checkpoint("writing the capture", index, header_.layers);
    const CaptureLayer& from = layer(index);
    writeRows(writer, tensorName("q", index), from.q, control);
    writeRows(writer, tensorName("k", index), from.k, control);
    if (!from.v.empty()) {
      writeRows(writer, tensorName("v", index), from.v, control);
    }
    if (!from.lse.empty()) {
      writer.write(tensorName("lse", index), 0, std::as_bytes(from.lse));
    }
    if (!from.sinks.empty()) {
      writer.write(tensorName("sinks", index), 0, std::as_bytes(from.sinks));
    }
  }
  writer.commit();
}

}  // namespace headscope
