#include "core/model/detail/layer_step.h"

#include <algorithm>
#include <memory>
#include <utility>

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/from_blob.h>

namespace headscope {
namespace {

at::ScalarType scalarType(FloatType type) {
  return type == FloatType::F32 ? at::kFloat : type == FloatType::BF16 ? at::kBFloat16 : at::kHalf;
}

void copyRows(const at::Tensor& target, std::int64_t first, const at::Tensor& rows) {
  if (target.defined()) {
    target.narrow(1, first, rows.size(0)).copy_(rows.transpose(0, 1));
  }
}

}  // namespace

CaptureRows::CaptureRows(const CaptureBuilder::Target& target, FloatType type, const CaptureBuilder::LayerShape& shape,
                         std::int64_t tokens, CaptureTransfer* transfer)
    : transfer_(transfer) {
  const auto over = [&](std::byte* data, int heads) {
    return data == nullptr ? at::Tensor()
                           : at::from_blob(data, {heads, tokens, shape.dim}, at::dtype(scalarType(type)));
  };
  q_ = over(target.q, shape.heads);
  k_ = over(target.k, shape.kvHeads);
  v_ = over(target.v, shape.kvHeads);
  if (target.lse != nullptr) {
    lse_ = at::from_blob(target.lse, {shape.heads, tokens}, at::dtype(at::kFloat));
  }
}

void CaptureRows::put(const at::Tensor& target, std::int64_t first, const at::Tensor& rows) {
  if (!target.defined()) {
    return;
  }
  const at::Tensor place = target.narrow(1, first, rows.size(1));
  if (rows.is_cuda() && transfer_ != nullptr) {
    transfer_->copy(rows, place);
  } else {
    place.copy_(rows);
  }
}

void CaptureRows::putBoth(const at::Tensor& target, const at::Tensor& kept, std::int64_t first,
                          const at::Tensor& rows) {
  if (!kept.defined()) {
    put(target, first, rows);
    return;
  }
  const at::Tensor place = kept.narrow(1, first, rows.size(1));
  place.copy_(rows);
  put(target, first, place);
}

void CaptureRows::keepOn(const at::Device& gpu) {
  keptQ_ = at::empty(q_.sizes(), q_.options().device(gpu));
  keptK_ = at::empty(k_.sizes(), k_.options().device(gpu));
}

std::optional<DeviceRows> CaptureRows::deviceRows() const {
  if (!keptQ_.defined()) {
    return std::nullopt;
  }
  const auto memory = std::make_shared<const std::pair<at::Tensor, at::Tensor>>(keptQ_, keptK_);
  return DeviceRows{keptQ_.device().index(), keptQ_.data_ptr(), keptK_.data_ptr(), memory};
}

void CaptureRows::queries(std::int64_t first, const at::Tensor& q) {
  putBoth(q_, keptQ_, first, q.transpose(0, 1));
}
void CaptureRows::keys(std::int64_t first, const at::Tensor& k) {
  putBoth(k_, keptK_, first, k.transpose(0, 1));
}
void CaptureRows::values(std::int64_t first, const at::Tensor& v) {
  put(v_, first, v.transpose(0, 1));
}
void CaptureRows::logSumExp(std::int64_t first, const at::Tensor& lse) {
  put(lse_, first, lse);
}

RotaryTables::RotaryTables(const plan::Decoder& decoder, const std::vector<Rope>& ropes, std::int64_t tokens) {
  for (std::size_t i = 0; i < decoder.ropes.size(); ++i) {
    tables_.push_back({rotaryTable(ropes[i], 0, tokens, at::kCPU)});
  }
}

std::optional<RotaryTable> RotaryTables::rows(const plan::Attention& attention, std::int64_t first, std::int64_t count,
                                              const at::Device& device) {
  if (!attention.rope) {
    return std::nullopt;
  }
  std::vector<RotaryTable>& copies = tables_[static_cast<std::size_t>(*attention.rope)];
  auto found = std::find_if(copies.begin(), copies.end(),
                            [&](const RotaryTable& table) { return table.cos.device() == device; });
  if (found == copies.end()) {
    RotaryTable copy = copies.front();
    copy.cos = copy.cos.to(device);
    copy.sin = copy.sin.to(device);
    found = copies.insert(copies.end(), copy);
  }
  RotaryTable rows = *found;
  rows.cos = found->cos.narrow(0, first, count);
  rows.sin = found->sin.narrow(0, first, count);
  return rows;
}

LayerStep::LayerStep(const Engine& engine, RotaryTables& tables, std::int64_t capacity, AttentionPath path)
    : engine_(engine), tables_(tables), capacity_(capacity), path_(path), cache_(engine.decoder().layers.size()) {}

bool LayerStep::borrowed(int layer) const {
  const auto& layers = engine_.decoder().layers;
  return std::any_of(layers.begin(), layers.end(),
                     [layer](const plan::Layer& other) { return other.attention.keysFrom == layer; });
}

KeyValues& LayerStep::cacheOf(int layer, const Projections& own) {
  KeyValues& cache = cache_[static_cast<std::size_t>(layer)];
  if (own.k.defined() && !cache.k.defined()) {
    cache.k = at::empty({own.k.size(1), capacity_, own.k.size(2)}, own.k.options());
    cache.v = at::empty_like(cache.k);
    cache.kBeforeRope = borrowed(layer) ? at::empty_like(cache.k) : at::Tensor();
  }
  return cache;
}

at::Tensor LayerStep::run(int layer, std::int64_t first, const at::Tensor& x, const at::Tensor& perLayer,
                          CaptureRows* capture) {
  const plan::Decoder& decoder = engine_.decoder();
  const plan::Layer& plan = decoder.layers[static_cast<std::size_t>(layer)];
  const plan::Attention& attention = plan.attention;
  const Weights& weights = engine_.weights;
  const std::int64_t rows = x.size(0);
  const Projections own = project(weights, attention, applyNorm(weights, plan.attentionIn, x));
  const std::optional<RotaryTable> rotary = tables_.rows(attention, first, rows, x.device());
  const RotaryTable* table = rotary ? &*rotary : nullptr;
  KeyValues& cache = cacheOf(layer, own);
  if (own.k.defined()) {
    keysInto(weights, attention, table, own.k, cache.k.narrow(1, first, rows));
    copyRows(cache.v, first, own.v);
    copyRows(cache.kBeforeRope, first, own.k);
  }
  const KeyValues& keys = cache_[static_cast<std::size_t>(attention.keysFrom.value_or(layer))];
  if (capture != nullptr) {
    capture->queries(first, own.q);
    capture->keys(first, own.k.defined() ? own.k : keys.kBeforeRope.narrow(1, first, rows).transpose(0, 1));
    capture->values(first, own.v.defined() ? own.v : keys.v.narrow(1, first, rows).transpose(0, 1));
  }
  const at::Tensor q = at::empty({attention.heads, rows, attention.headDim}, own.q.options());
  queriesInto(weights, attention, table, own.q, first, q);
  const Attended attended = attend(attention, q, keys.k, keys.v, weights[attention.sinks], first, path_);
  if (capture != nullptr) {
    capture->logSumExp(first, attended.lse);
  }
  return finishLayer(weights, decoder, plan, x, attended.mixed, perLayer);
}

void LayerStep::release(int layer) {
  const auto& layers = engine_.decoder().layers;
  for (std::size_t i = 0; i <= static_cast<std::size_t>(layer); ++i) {
    const auto later = layers.begin() + layer + 1;
    const bool needed = std::any_of(
        later, layers.end(), [i](const plan::Layer& other) { return other.attention.keysFrom == static_cast<int>(i); });
    if (!needed) {
      cache_[i] = {};
    }
  }
}

}  // namespace headscope
