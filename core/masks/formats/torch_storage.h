#pragma once

// The numbers of a tensor as torch.save stores them: a flat storage of one type, looked at through an offset, a shape
// and strides.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace headscope::masks {

struct SavedTensor {
  std::vector<std::int64_t> shape;
  std::vector<double> values;  ///< row-major
};

/// What a pickle says of a tensor, unchecked.
struct StoredTensor {
  std::string type;       ///< "FloatStorage"
  std::string_view data;  ///< the storage's bytes, little-endian
  std::int64_t offset = 0;
  std::vector<std::int64_t> shape, stride;  ///< in elements
};

bool isStorageType(const std::string& name) noexcept;

/// Throws Error naming `where`: an impossible shape, or one that leaves the storage.
SavedTensor readStoredTensor(const StoredTensor& stored, const std::string& where);

}  // namespace headscope::masks
