#pragma once

// Tensors of golden files as doubles.

#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "core/files/safetensors.h"

namespace headscope::test {

struct GoldenTensor {
  std::vector<std::int64_t> shape;
  std::vector<double> values;

  /// Slice `index` of the first axis.
  std::vector<double> slice(std::int64_t index) const {
    const std::int64_t size = static_cast<std::int64_t>(values.size()) / shape.at(0);
    return {values.begin() + index * size, values.begin() + (index + 1) * size};
  }
};

inline GoldenTensor goldenTensor(const SafetensorsFile& file, const std::string& name) {
  const TensorView& view = file.at(name);
  GoldenTensor tensor;
  tensor.shape = view.shape;
  tensor.values.resize(static_cast<std::size_t>(view.elements()));
  for (std::size_t i = 0; i < tensor.values.size(); ++i) {
    if (view.type == TensorType::F64) {
      std::memcpy(&tensor.values[i], view.bytes.data() + 8 * i, 8);
    } else {
      float value = 0;
      std::memcpy(&value, view.bytes.data() + 4 * i, 4);
      tensor.values[i] = view.type == TensorType::F32 ? static_cast<double>(value) : throw Error(name, "not F32 or F64");
    }
  }
  return tensor;
}

}  // namespace headscope::test
