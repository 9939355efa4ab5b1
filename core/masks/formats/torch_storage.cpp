#include "core/masks/formats/torch_storage.h"

#include <algorithm>
#include <cstring>

#include "core/base/error.h"
#include "core/files/float_type.h"

namespace headscope::masks {
namespace {

constexpr std::int64_t kMostElements = std::int64_t{1} << 24;
constexpr std::size_t kMostAxes = 8;

template <typename Number>
double numberAt(const char* data, std::int64_t index) {
  Number value{};
  std::memcpy(&value, data + static_cast<std::size_t>(index) * sizeof(Number), sizeof(Number));
  return static_cast<double>(value);
}

struct StorageType {
  const char* name;
  std::size_t bytes;
  double (*read)(const char*, std::int64_t);
};

constexpr StorageType kStorageTypes[] = {
    {"FloatStorage", 4, numberAt<float>},
    {"DoubleStorage", 8, numberAt<double>},
    {"LongStorage", 8, numberAt<std::int64_t>},
    {"IntStorage", 4, numberAt<std::int32_t>},
    {"BoolStorage", 1, numberAt<std::uint8_t>},
    {"ByteStorage", 1, numberAt<std::uint8_t>},
    {"HalfStorage", 2,
     [](const char* data, std::int64_t index) {
       std::uint16_t bits = 0;
       std::memcpy(&bits, data + index * 2, 2);
       return static_cast<double>(f16ToFloat(bits));
     }},
    {"BFloat16Storage", 2,
     [](const char* data, std::int64_t index) {
       std::uint16_t bits = 0;
       std::memcpy(&bits, data + index * 2, 2);
       return static_cast<double>(bf16ToFloat(bits));
     }},
};

const StorageType* storageType(const std::string& name) {
  for (const StorageType& type : kStorageTypes) {
    if (name == type.name) {
      return &type;
    }
  }
  return nullptr;
}

[[noreturn]] void fail(const std::string& where, const char* problem) {
  throw Error(where, concat("as a pickle, ", problem));
}

bool isPossible(std::int64_t value) {
  return value >= 0 && value <= kMostElements;
}

// The index of the last element in the storage; every shape, stride and sum stays below 2^24 · 2^24.
std::int64_t lastElement(const StoredTensor& stored, std::int64_t& count, const std::string& where) {
  count = 1;
  std::int64_t last = stored.offset;
  for (std::size_t axis = 0; axis < stored.shape.size(); ++axis) {
    count *= stored.shape[axis];
    last += std::max<std::int64_t>(stored.shape[axis] - 1, 0) * stored.stride[axis];
    if (count > kMostElements || last > kMostElements) {
      fail(where, "has a tensor that is too large for a mask");
    }
  }
  return last;
}

}  // namespace

bool isStorageType(const std::string& name) noexcept {
  return storageType(name) != nullptr;
}

SavedTensor readStoredTensor(const StoredTensor& stored, const std::string& where) {
  const bool sound = stored.shape.size() == stored.stride.size() && stored.shape.size() <= kMostAxes &&
                     std::all_of(stored.shape.begin(), stored.shape.end(), isPossible) &&
                     std::all_of(stored.stride.begin(), stored.stride.end(), isPossible) && isPossible(stored.offset);
  if (!sound) {
    fail(where, "has a tensor of an impossible shape");
  }
  std::int64_t count = 0;
  const std::int64_t last = lastElement(stored, count, where);
  const StorageType& type = *storageType(stored.type);
  if (count > 0 && static_cast<std::uint64_t>(last) >= stored.data.size() / type.bytes) {
    fail(where, "has a tensor that is longer than its data");
  }
  SavedTensor tensor{stored.shape, {}};
  tensor.values.reserve(static_cast<std::size_t>(count));
  for (std::int64_t element = 0; element < count; ++element) {
    std::int64_t at = stored.offset;
    std::int64_t rest = element;
    for (std::size_t axis = stored.shape.size(); axis-- > 0;) {
      at += (rest % stored.shape[axis]) * stored.stride[axis];
      rest /= stored.shape[axis];
    }
    tensor.values.push_back(type.read(stored.data.data(), at));
  }
  return tensor;
}

}  // namespace headscope::masks
