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

const Rope* Capture::rope(int layer) const {
  const AttentionSpec& spec = attention(layer);
  return spec.rope ? &header_.ropes.at(static_cast<std::size_t>(*spec.rope)) : nullptr;
}

}  // namespace headscope
