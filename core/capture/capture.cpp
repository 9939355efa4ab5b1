#include "core/capture/capture.h"

#include <algorithm>

namespace headscope {
namespace {

std::uint64_t nextId() noexcept {
  static std::atomic<std::uint64_t> counter{0};
  return ++counter;
}

}  // namespace

void FloatRows::read(std::int64_t first, std::int64_t count, float* target) const noexcept {
  const auto width = static_cast<std::size_t>(dim);
  toFloats(data + static_cast<std::size_t>(first) * width * floatBytes(type), type,
           static_cast<std::size_t>(count) * width, target);
}

Capture::Capture() : id_(nextId()) {}

int Capture::readyLayers() const noexcept {
  int count = 0;
  for (int layer = 0; layer < header_.layers; ++layer) {
    count += ready(layer) ? 1 : 0;
  }
  return count;
}

const CaptureLayer& Capture::layer(int index) const {
  if (index < 0 || index >= header_.layers) {
    throw Error(path_.string(), concat("layer ", index, " does not exist: there are 0 to ", header_.layers - 1));
  }
  if (!ready(index)) {
    throw Error(path_.string(), concat("layer ", index, " has not been captured yet"));
  }
  return layers_[static_cast<std::size_t>(index)];
}

std::optional<DeviceRows> Capture::deviceRows(int layer) const {
  const std::lock_guard lock(deviceMutex_);
  const auto index = static_cast<std::size_t>(layer);
  return index < deviceRows_.size() && deviceRows_[index].memory ? std::optional(deviceRows_[index]) : std::nullopt;
}

void Capture::dropDeviceRows() const {
  std::vector<DeviceRows> dropped;
  const std::lock_guard lock(deviceMutex_);
  dropped.swap(deviceRows_);
}

std::shared_ptr<const Capture> Capture::withLogSumExp(std::vector<std::vector<float>> lse) const {
  std::shared_ptr<Capture> copy(new Capture());
  copy->header_ = header_;
  copy->tokens_ = tokens_;
  copy->bytes_ = bytes_;
  copy->path_ = path_;
  copy->storage_ = storage_;
  copy->ready_ = std::make_unique<std::atomic<bool>[]>(static_cast<std::size_t>(header_.layers));
  const auto kept = std::make_shared<const std::vector<std::vector<float>>>(std::move(lse));
  copy->storage_.push_back(kept);
  for (int index = 0; index < header_.layers; ++index) {
    CaptureLayer data = layer(index);
    const std::vector<float>& rows = kept->at(static_cast<std::size_t>(index));
    if (rows.size() != static_cast<std::size_t>(data.heads * tokens_)) {
      throw Error(path_.string(), concat("a log-sum-exp of ", rows.size(), " rows for layer ", index));
    }
    copy->bytes_ += (rows.size() - data.lse.size()) * sizeof(float);
    data.lse = rows;
    copy->layers_.push_back(std::move(data));
    copy->ready_[static_cast<std::size_t>(index)].store(true, std::memory_order_release);
  }
  return copy;
}

const Rope* Capture::rope(int layer) const {
  const AttentionSpec& spec = attention(layer);
  return spec.rope ? &header_.ropes.at(static_cast<std::size_t>(*spec.rope)) : nullptr;
}

}  // namespace headscope
