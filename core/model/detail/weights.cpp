#include "core/model/detail/weights.h"

#include <cstdint>
#include <cstring>
#include <utility>

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/stack.h>

#include "core/base/error.h"

namespace headscope {
namespace {

at::ScalarType scalarType(FloatType type) {
  return type == FloatType::F32 ? at::kFloat : type == FloatType::BF16 ? at::kBFloat16 : at::kHalf;
}

constexpr std::int64_t kDecodedRows = 64;  // at least so many rows a thread

// A tensor over the mapped bytes; copied only where they are not aligned.
at::Tensor mappedTensor(const StoredTensor& stored, const std::shared_ptr<const WeightFiles>& files) {
  const at::TensorOptions options = at::TensorOptions().dtype(scalarType(*stored.plain));
  const std::size_t size = floatBytes(*stored.plain);
  if (reinterpret_cast<std::uintptr_t>(stored.data.data()) % size != 0) {
    at::Tensor copy = at::empty(stored.shape, options);
    std::memcpy(copy.data_ptr(), stored.data.data(), stored.data.size());
    return copy;
  }
  // The mapping is read-only; weights are never written to.
  void* data = const_cast<std::byte*>(stored.data.data());
  return at::from_blob(
      data, stored.shape, [files](void*) {}, options);
}

at::Tensor rowsOfGroups(const at::Tensor& stored, const plan::Tensor& tensor) {
  const at::Tensor grouped = stored.unflatten(0, {tensor.groups, -1});
  return grouped.narrow(1, tensor.begin, tensor.count).flatten(0, 1);
}

class Loader {
 public:
  explicit Loader(const std::shared_ptr<const WeightFiles>& files) : files_(files) {}

  at::Tensor load(const plan::Tensor& tensor, const Place& place) {
    if (tensor.stacked.empty()) {
      return takeOwned(stored(tensor.name, place).view(tensor.shape), tensor);
    }
    std::vector<at::Tensor> parts{stored(tensor.name, place).view(tensor.shape)};
    for (const std::string& name : tensor.stacked) {
      parts.push_back(stored(name, place).view(tensor.shape));
    }
    return at::stack(parts);
  }

 private:
  // Fused tensors are asked for several times in a row: the last one is kept.
  at::Tensor stored(const std::string& name, const Place& place) {
    if (name == lastName_ && place == lastPlace_) {
      return last_;
    }
    last_ = at::Tensor();
    last_ = read(name).to(place.device, place.type);
    lastName_ = name;
    lastPlace_ = place;
    return last_;
  }

  at::Tensor read(const std::string& name) const {
    const StoredTensor tensor = files_->find(name).value();
    if (tensor.plain) {
      return mappedTensor(tensor, files_);
    }
    at::Tensor floats = at::empty(tensor.shape, at::kFloat);
    const std::int64_t width = tensor.shape.empty() ? 1 : tensor.shape.back();
    float* data = floats.data_ptr<float>();
    at::parallel_for(0, floats.numel() / width, kDecodedRows, [&](std::int64_t begin, std::int64_t end) {
      files_->readRows(name, begin, end - begin, data + begin * width);
    });
    return floats;
  }

  static at::Tensor takeOwned(const at::Tensor& stored, const plan::Tensor& tensor) {
    return takePart(stored, tensor).contiguous();
  }

  std::shared_ptr<const WeightFiles> files_;
  std::string lastName_;
  Place lastPlace_;
  at::Tensor last_;
};

}  // namespace

at::Tensor takePart(const at::Tensor& stored, const plan::Tensor& tensor) {
  at::Tensor part = stored;
  if (tensor.slab) {
    part = part.select(0, *tensor.slab);
  }
  if (tensor.transposed && part.dim() == 2) {
    part = part.t();
  }
  if (tensor.count > 0) {
    part = tensor.groups == 1 ? part.narrow(0, tensor.begin, tensor.count) : rowsOfGroups(part, tensor);
  }
  if (tensor.pairedHeads > 0) {
    part = part.unflatten(0, {tensor.pairedHeads, -1, 2}).transpose(1, 2).flatten(0, 2);
  }
  return part;
}

Weights namedWeights(const plan::Decoder& decoder, const std::map<std::string, at::Tensor>& named) {
  Weights weights(decoder.tensors.size());
  const auto get = [&](const plan::Tensor& tensor, const std::string& name) {
    const auto found = named.find(name);
    if (found == named.end() || found->second.sizes() != at::IntArrayRef(tensor.shape)) {
      throw Error(decoder.where,
                  concat("tensor \"", name, "\" is missing or of another shape than ", shapeText(tensor.shape)));
    }
    return found->second;
  };
  for (const plan::Tensor& tensor : decoder.tensors) {
    at::Tensor value = takePart(get(tensor, tensor.name), tensor);
    if (!tensor.stacked.empty()) {
      std::vector<at::Tensor> parts{value};
      for (const std::string& name : tensor.stacked) {
        parts.push_back(get(tensor, name));
      }
      value = at::stack(parts);
    }
    weights.set(tensor.slot, value);
  }
  return weights;
}

Weights loadWeights(const plan::Decoder& decoder, const std::shared_ptr<const WeightFiles>& files,
                    const std::function<Place(int slot)>& placeOf, const JobControl& control) {
  Weights weights(decoder.tensors.size());
  Loader loader(files);
  std::int64_t done = 0;
  for (const plan::Tensor& tensor : decoder.tensors) {
    control.checkpoint("reading weights", done++, static_cast<std::int64_t>(decoder.tensors.size()));
    weights.set(tensor.slot, loader.load(tensor, placeOf(tensor.slot)));
  }
  return weights;
}

}  // namespace headscope
